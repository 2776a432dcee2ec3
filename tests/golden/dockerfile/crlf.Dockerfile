# escape=`
# syntax = docker/dockerfile:1 

FROM base
RUN one `
    two
# inside
COPY <<EOF C:\x
a
EOF
