FROM --platform=linux/amd64 a:1 as build
COPY . .
COPY --from=build --chown=1:1 --chmod=755 --link --exclude=*.md --exclude="a b" a b* /dest/
COPY ["a file", "/dest dir/"]
COPY --parents ./a/./b /x
COPY -- --odd /x
COPY --chown="a b":c x y
ADD --checksum=sha256:aa --keep-git-dir=true --unpack=false https://example.com/a.git#main:sub /src
ADD a\ b "c d" /x
COPY only
