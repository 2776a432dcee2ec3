# A comment before the first instruction.
FROM \
  debian:bookworm \
  AS base

  RUN apt-get update && \
# dropped
      # dropped too

      apt-get install -y \   
    git
RUN echo a\\
RUN echo a \
RUN is not an instruction
ENV a=1 \
    b="two words" \
    c='x'\ y
RUN last \
