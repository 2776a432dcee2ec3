#!/usr/bin/env bash
# registry.sh FOLDER: put Debian's docker-registry into FOLDER, for the tests.
# The package is unpacked and not installed: installing it starts a server on port 5000 at once.
set -euo pipefail
folder=$(realpath "$1")

if command -v docker-registry >/dev/null || [ -x "$folder/docker-registry" ]; then
    exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
if ! apt-get download docker-registry >log 2>&1 && ! { apt-get update && apt-get download docker-registry; } >log 2>&1; then
    echo "wherry: cannot download docker-registry: $(grep '^E:' log | tail -n 1)" >&2
    exit 1
fi
dpkg-deb --extract docker-registry_*.deb .
install usr/bin/docker-registry "$folder"
