#!/usr/bin/env bash
# sizes.sh: what an image weighs when everything happens in one stage, and when only the result is kept.
set -euo pipefail
cd "$(dirname "$0")/../examples"
source ../tools/bases.sh

need_python
need debian:bookworm-slim
need busybox

# size TAG DOCKERFILE FOLDER [FLAG...]: build, and print what `wherry images` says of it.
size() {
    local tag=sizes-$1 file=$2 folder=$3
    shift 3
    wherry build --quiet -t "$tag" -f "$folder/$file" "$@" "$folder" >/dev/null
    wherry images --format '{{.Size}}' "$tag"
}

row() {
    printf '%-26s %14s %14s\n' "$@"
}

row EXAMPLE "SINGLE STAGE" "MULTI-STAGE"
python=(--build-arg "PYTHON=$python_tag")
row flask "$(size flask Dockerfile flask "${python[@]}")" \
    "$(size flask-multi Dockerfile.multistage flask "${python[@]}")"
compiler=$(size c-compiler Dockerfile c-multistage --target build)
row "c-multistage on busybox" "$compiler" "$(size c-busybox Dockerfile c-multistage)"
row "c-multistage on scratch" "$compiler" "$(size c-scratch Dockerfile.scratch c-multistage)"
