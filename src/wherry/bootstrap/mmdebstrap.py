"""mmdebstrap as a child process: its arguments, its output as a stream, its failures as one sentence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import IO

from wherry.base.errors import Denied, NotFound, WherryError

# No file in an image is younger (2025-01-01), so that two runs with the same packages give the same bytes.
# With it set, Python's byte code names the digest of its source and not its time: it does not go stale.
EPOCH = 1735689600


class Run:
    """A running mmdebstrap; `read` gives its tar stream and raises where the run failed.

    A reader thus never takes the beginning of an image for the whole. Leaving the context ends the process.
    """

    def __init__(self, arguments: list[str], on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._lines: deque[str] = deque(maxlen=200)
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
        )
        self._reader = threading.Thread(target=self._read_messages, daemon=True)
        self._reader.start()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        _pipe(self._process.stdout).close()
        self._process.wait()
        self._reader.join()

    def read(self, size: int = -1) -> bytes:
        data = _pipe(self._process.stdout).read(size)
        if not data and size != 0:
            self._check()
        return data

    def finish(self) -> None:
        """Read what is left of the stream; raise where the run failed. A tar may end before its stream."""
        while self.read(1 << 16):
            pass

    def _check(self) -> None:
        code = self._process.wait()
        self._reader.join()
        if code:
            raise failure(list(self._lines))

    def _read_messages(self) -> None:
        with _pipe(self._process.stderr) as stream:
            for raw in stream:
                line = without_login(raw.decode(errors="replace").rstrip())
                self._lines.append(line)
                self._on_line(line)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # Popen was asked for it
    return stream


def without_login(text: str) -> str:
    """A message of apt's with `user:password@` taken out of its addresses."""
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1", text)


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    environment["SOURCE_DATE_EPOCH"] = str(EPOCH)
    environment["LC_ALL"] = "C.UTF-8"
    for scheme in ("http", "https"):
        proxy = _configured(f"Acquire::{scheme}::Proxy")
        if proxy and proxy != "DIRECT":
            environment.setdefault(f"{scheme}_proxy", proxy)
    return environment


def _configured(option: str) -> str:
    """The machine's setting of one of apt's options; mmdebstrap itself reads none of them."""
    result = subprocess.run(["apt-config", "shell", "VALUE", option], capture_output=True, text=True)
    found = re.match(r"VALUE='(.*)'", result.stdout)
    return found.group(1) if found else ""


def login_options() -> list[str]:
    """apt's files with logins for archives, read where they are: no copy of them is made."""
    return [
        f"--aptopt={option} {path}"
        for option, path in (
            ("Dir::Etc::netrc", "/etc/apt/auth.conf"),
            ("Dir::Etc::netrcparts", "/etc/apt/auth.conf.d"),
        )
        if os.access(path, os.R_OK)
    ]


def mode() -> str:
    """`root` or `unshare`; an error that names what is missing where neither can work."""
    if shutil.which("mmdebstrap") is None:
        raise NotFound(
            "mmdebstrap is not installed",
            hint="install it with: apt-get install mmdebstrap" + ("" if os.geteuid() == 0 else " uidmap"),
        )
    if os.geteuid() == 0:
        return "root"
    if shutil.which("newuidmap") is None:
        raise NotFound(
            "newuidmap is not installed, and only root can make an image without it",
            hint="install it with: apt-get install uidmap",
        )
    for file in ("/etc/subuid", "/etc/subgid"):
        if not _has_range(file):
            raise Denied(
                f"{_user()} has no subordinate ids in {file}",
                hint=f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {_user()}",
            )
    return "unshare"


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _has_range(file: str) -> bool:
    try:
        with open(file, encoding="utf-8") as lines:
            owners = {line.partition(":")[0] for line in lines}
    except OSError:
        return False
    return bool(owners & {_user(), str(os.geteuid())})


def failure(lines: list[str]) -> WherryError:
    """What the last messages of a failed run mean."""
    text = "\n".join(lines)
    for pattern, make in _CAUSES:
        if found := re.search(pattern, text, re.MULTILINE):
            return make(found)
    return WherryError("mmdebstrap failed", excerpt="\n".join(lines[-15:]))


_CAUSES: tuple[tuple[str, Callable[[re.Match[str]], WherryError]], ...] = (
    (
        r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate",
        lambda found: NotFound(
            f"there is no package {found[1] or found[2]} in the machine's apt sources",
            hint="see /etc/apt/sources.list.d: some packages need another component, such as universe",
        ),
    ),
    (
        r"NO_PUBKEY|is not signed|couldn't be verified|Missing key",
        lambda _: WherryError(
            "the signatures of the package archive cannot be checked: this machine lacks its key",
            hint="install the archive's keyring package, such as debian-archive-keyring",
        ),
    ),
    (
        r"No space left on device",
        lambda _: WherryError(
            "no space left for making the image", hint="set TMPDIR to a folder that has 1 GB free"
        ),
    ),
    (
        r"does not have a Release file|404 +Not Found",
        lambda _: NotFound(
            "the package archive does not have that suite",
            hint="see the Suites in /etc/apt/sources.list.d",
        ),
    ),
    (
        r"^E: Failed to fetch (?P<what>\S+) +(?P<why>.+)$",
        lambda found: WherryError(
            f"the package archive cannot be reached: {found['why']}",
            hint=f"look at the network, http_proxy and the sources of apt ({found['what']})",
        ),
    ),
    (
        r"mount.*(?:permission denied|Operation not permitted)|cannot unshare|EPERM",
        lambda found: Denied(
            f"this machine does not let mmdebstrap make a root folder: {found[0]}",
            hint="run it as root, or as a user with subordinate ids where user namespaces are allowed",
        ),
    ),
)
