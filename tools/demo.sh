#!/usr/bin/env bash
# demo.sh PORT: a base image, a Flask image on it, a container of that, and its answer over HTTP.
set -euo pipefail
port=$1 image=my-flask-app:v1 container=wherry-demo
cd "$(dirname "$0")/.."
source tools/bases.sh

show() {
    if [ -t 1 ]; then printf '\n\033[1m$ %s\033[0m\n' "$*"; else printf '\n$ %s\n' "$*"; fi
}

say() {
    show wherry "$@"
    wherry "$@"
}

if (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "wherry: port $port is in use: make demo PORT=5001" >&2
    exit 1
fi
need_python
say build -t "$image" --build-arg "PYTHON=$python_tag" examples/flask

wherry rm -f "$container" >/dev/null 2>&1 || true
trap 'wherry rm -f "$container" >/dev/null 2>&1 || true' EXIT
say run -d --name "$container" -p "$port:5000" "$image"
show curl "http://127.0.0.1:$port/"
python tools/ask.py "http://127.0.0.1:$port/" || {
    wherry logs "$container" >&2
    exit 1
}
say stop -t 1 "$container"
say images
say history "$image"
