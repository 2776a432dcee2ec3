"""Proxies that docker's client configuration gives to every build and container."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

_NAMES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "ftpProxy": "FTP_PROXY",
    "noProxy": "NO_PROXY",
    "allProxy": "ALL_PROXY",
}

VARIABLES = frozenset(name for proxy in _NAMES.values() for name in (proxy, proxy.lower()))
"""The names that proxies are given under, in both cases."""


def configured(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """`proxies.default` of `$DOCKER_CONFIG/config.json` as variables, in upper and lower case as docker does.

    A file that is missing or is not what it should be gives none: whoever logs in is told about that.
    """
    folder = environment.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    proxies = _read(f"{folder}/config.json")
    found: list[tuple[str, str]] = []
    for key, name in _NAMES.items():
        value = proxies.get(key)
        if isinstance(value, str) and value:
            found += [(name, value), (name.lower(), value)]
    return tuple(found)


def _read(path: str) -> Mapping[str, Any]:
    import json

    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        proxies = document["proxies"]["default"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return proxies if isinstance(proxies, dict) else {}
