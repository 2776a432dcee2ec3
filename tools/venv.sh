#!/usr/bin/env bash
# venv.sh FOLDER WHAT: install WHAT of this checkout, editable, into the virtual environment FOLDER.
set -euo pipefail
folder=$1 what=$2 log=$1/pip.log

fail() {
    echo "wherry: $*" >&2
    exit 1
}

python=
for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed: install it, or name it with make PYTHON=..."

if [ ! -x "$folder/bin/pip" ]; then
    "$python" -m venv "$folder" >/dev/null 2>&1 ||
        fail "$python cannot make a virtual environment: apt-get install python3-venv"
fi
"$folder/bin/pip" install --disable-pip-version-check --editable "$what" >"$log" 2>&1 ||
    fail "pip could not install $what: $(grep -i error "$log" | tail -n 1) (the whole output is in $log)"
