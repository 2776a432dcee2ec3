#!/usr/bin/env something
# escape=`
FROM a
FOO --bar=1 baz
foo
RUN --unknown --mount=type=nothing x
  café \
  au lait
ONBUILD
ONBUILD ONBUILD RUN x
ONBUILD --flag RUN --network=none ["x"]
