#!/usr/bin/env bash
# packages.sh NAME...: have Debian packages installed where this user may do that, else say what is missing.
# What is missing is no failure here: whatever needs it will say so, and much works without.
set -euo pipefail

missing=()
for name in "$@"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
    apt=(apt-get)
elif sudo -n true 2>/dev/null; then
    apt=(sudo -n apt-get)
else
    echo "wherry: not installed: ${missing[*]} (sudo apt-get install ${missing[*]})" >&2
    exit 0
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${apt[@]}" update || true; "${apt[@]}" install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    echo "wherry: apt-get could not install ${missing[*]}: $(grep '^E:' "$log" | tail -n 1)" >&2
    exit 1
fi
