"""Commands below a process that hears system calls already: a process can have one listener."""

from __future__ import annotations

import sys

_PROGRAM = """
import struct, subprocess, sys
from wherry.runtime.init import linux
allow = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
linux.no_new_privileges()
listener = linux.filter_and_listen(allow)
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""

PREFIX = [sys.executable, "-c", _PROGRAM]
"""Words to put before a command."""
