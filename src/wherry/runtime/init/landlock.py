"""Landlock (Linux 5.13): a process gives up all files but those beneath a folder, with its children.

It also takes part in what no file system decides: a process so restricted may not look into or trace one that
is not (ptrace), and from Linux 6.12 on send it no signal and not connect to its abstract sockets.
"""

from __future__ import annotations

import os
import struct

from . import linux

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _RULE_PATH_BENEATH = 1, 1

_FILES = 0x1FFF  # all that version 1 knows
_REFER, _TRUNCATE, _DEVICE_IOCTL = 0x2000, 0x4000, 0x8000  # since versions 2, 3 and 5
_SCOPE_SOCKETS_AND_SIGNALS = 3  # since version 6

_LEAST = 2
"""Version 1 refuses every rename and link between two folders."""


def version() -> int:
    """That of the kernel; 0 where Landlock is not to be had."""
    try:
        found = linux.call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:
        return 0
    return found if found >= _LEAST else 0


def restrict_to(folder: str) -> bool:
    """Keep this process beneath `folder`; False where the kernel cannot. It must have no_new_privs."""
    known = version()
    if not known:
        return False
    rights = _FILES | _REFER | (_TRUNCATE if known >= 3 else 0) | (_DEVICE_IOCTL if known >= 5 else 0)
    # rights on files, on ports (all are left), and what is scoped: an older kernel knows a shorter structure
    attributes = struct.pack("=QQQ", rights, 0, _SCOPE_SOCKETS_AND_SIGNALS)
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    rules = linux.call(_CREATE_RULESET, attributes, size, 0)
    beneath = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    linux.call(_ADD_RULE, rules, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0)
    linux.call(_RESTRICT_SELF, rules, 0)
    os.close(beneath)
    os.close(rules)
    return True
