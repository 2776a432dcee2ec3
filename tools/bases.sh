# Sourced: base images made from this machine's packages, once; they stay in wherry's store.

have() {
    wherry inspect "$1" >/dev/null 2>&1
}

# python_tag: the tag of `python` that this machine's distribution can give.
need_python() {
    python_tag=3.11-slim
    if ! have "python:$python_tag" && ! wherry bootstrap "python:$python_tag"; then
        echo "wherry: taking the Python that this distribution has instead" >&2
        python_tag=slim
        have "python:$python_tag" || wherry bootstrap "python:$python_tag"
    fi
}

# need NAME [BOOTSTRAP-NAME]
need() {
    have "$1" || wherry bootstrap "${2:-$1}" -t "$1"
}
