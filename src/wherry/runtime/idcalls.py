"""The system calls about owners and users that the kernel refuses where there is one id, and their numbers.

Charliecloud's published method is to answer these with success and to do nothing (Priedhorsky, Jennings,
Phinney: "Zero-consistency root emulation for unprivileged container image build", SC '24 workshops). Here
that is the plain answer, for where no listener can be had; else `init/notifier.py` does what can be done.
Calls that ask for ids or make files have no plain answer. capset is not among the calls: root of a user
namespace really has docker's capabilities, and may really drop them.
"""

from __future__ import annotations

_X86_64 = """
    chown 92 fchown 93 lchown 94 fchownat 260 mknod 133 mknodat 259
    setuid 105 setgid 106 setreuid 113 setregid 114 setgroups 116 setresuid 117 setresgid 119 setfsuid 122
    setfsgid 123 getuid 102 getgid 104 geteuid 107 getegid 108 getgroups 115 getresuid 118 getresgid 120
    open 2 openat 257 creat 85 mkdir 83 mkdirat 258 symlink 88 symlinkat 266
"""
_I386 = """
    chown16 182 fchown16 95 lchown16 16 chown 212 fchown 207 lchown 198 fchownat 298 mknod 14 mknodat 297
    setuid16 23 setgid16 46 setreuid16 70 setregid16 71 setgroups16 81 setresuid16 164 setresgid16 170
    setfsuid16 138 setfsgid16 139 getuid16 24 getgid16 47 geteuid16 49 getegid16 50 getgroups16 80
    getresuid16 165 getresgid16 171 setuid 213 setgid 214 setreuid 203 setregid 204 setgroups 206
    setresuid 208 setresgid 210 setfsuid 215 setfsgid 216 getuid 199 getgid 200 geteuid 201 getegid 202
    getgroups 205 getresuid 209 getresgid 211
    open 5 openat 295 creat 8 mkdir 39 mkdirat 296 symlink 83 symlinkat 304
"""
_AARCH64 = """
    fchownat 54 fchown 55 mknodat 33 setregid 143 setgid 144 setreuid 145 setuid 146 setresuid 147
    setresgid 149 setfsuid 151 setfsgid 152 setgroups 159 getresuid 148 getresgid 150 getgroups 158
    getuid 174 geteuid 175 getgid 176 getegid 177 openat 56 mkdirat 34 symlinkat 36
"""

MAKING = {
    "open": 1,
    "openat": 2,
    "creat": None,
    "mkdir": None,
    "mkdirat": None,
    "symlink": None,
    "symlinkat": None,
}
"""Calls that make files, for their owner; the argument whose O_CREAT says whether one does, if it has one."""

_TABLES = {0xC000003E: _X86_64, 0x40000003: _I386, 0xC00000B7: _AARCH64}


def numbers(architecture: int) -> dict[str, int]:
    """The calls of an architecture (its number for the kernel); those with 16-bit ids end with "16"."""
    words = iter(_TABLES[architecture].split())
    return {name: int(number) for name, number in zip(words, words, strict=True)}


def names() -> dict[tuple[int, int], str]:
    """Of all architectures, by architecture and number."""
    return {
        (architecture, number): name
        for architecture in _TABLES
        for name, number in numbers(architecture).items()
    }
