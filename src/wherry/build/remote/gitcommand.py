"""The `git` command with settings of its own: nothing of this machine's or its user's has a say.

It gets no hooks, no templates, no filters and no helpers but the one below; it speaks the protocols that are
listed here and no others; and it never asks anybody anything.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from wherry.base.errors import NotFound, UsageError, WherryError
from wherry.base.text import one_line
from wherry.build.legible import redacted
from wherry.build.remote.address import Account, without_account

if TYPE_CHECKING:
    from subprocess import CompletedProcess

_PASSED = (
    *("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"),
    *("PATH", "SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"),
)
_BUNDLES = {"SSL_CERT_FILE": "GIT_SSL_CAINFO", "SSL_CERT_DIR": "GIT_SSL_CAPATH"}
"""OpenSSL's variables, and those by which git hears of the same: curl may be made with another library."""

_SSH = "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=30"
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]+")

# "user" is for what was typed: git refuses such a protocol to submodules.
_SETTINGS = """\
[protocol]
\tallow = never
[protocol "https"]
\tallow = always
[protocol "http"]
\tallow = always
[protocol "ssh"]
\tallow = always
[protocol "git"]
\tallow = always
[protocol "file"]
\tallow = {file}
[core]
\thooksPath = /dev/null
\tfsmonitor = false
[gc]
\tauto = 0
[http]
\tlowSpeedLimit = 1
\tlowSpeedTime = 90
[advice]
\tdetachedHead = false
[init]
\tdefaultBranch = main
"""

# The password is in the environment, which no other user of this machine sees, and goes to this origin alone.
_HELPER = """\
[credential "{origin}"]
\thelper = "!f() {{ test \\"$1\\" = get && printf 'username=%s\\\\npassword=%s\\\\n' \\
\\"$WHERRY_GIT_USER\\" \\"$WHERRY_GIT_PASSWORD\\"; }}; f"
"""


class GitCommand:
    """`git` for one repository. `url` is what it is given: the address without user and password."""

    def __init__(self, address: str, home: str, account: Account | None = None, *, local: bool) -> None:
        """`home` is a new folder, git's for this time. `local`: `address` may be of this machine's files.

        `account` counts for http and https, unless the address has one.
        """
        self.url = address
        self._home = home
        self._environment = _environment(home)
        settings = _SETTINGS.format(file="user" if local else "never")
        if address.startswith("file://"):
            settings += _safe(unquote(urlsplit(address).path))
        if address.startswith(("http://", "https://")):
            self.url, named = without_account(address)
            account = named or account
            if account is not None:
                settings += _HELPER.format(origin=_origin(self.url))
                self._environment |= {
                    "WHERRY_GIT_USER": account.user,
                    "WHERRY_GIT_PASSWORD": account.password,
                }
        os.mkdir(home, 0o700)
        with open(f"{home}/.gitconfig", "w") as file:
            file.write(settings)

    def output(self, *words: str, folder: str = "", tree: str = "") -> str:
        """What it prints. Raises WherryError with git's own reason where it fails."""
        done = self._run(words, folder, tree, {})
        if done.returncode:
            raise self._failure(done.stderr.decode("utf-8", "replace"))
        return str(done.stdout.decode("utf-8", "surrogateescape"))

    def succeeds(self, *words: str, folder: str) -> bool:
        return self._run(words, folder, "", {}).returncode == 0

    def fetch_local(self, source: str, name: str, *, folder: str) -> None:
        """Fetch one commit from a repository of wherry's own."""
        from urllib.parse import quote

        words = ("fetch", "-q", "--no-tags", "--depth=1", "--", f"file://{quote(source)}", name)
        done = self._run(words, folder, "", {"GIT_ALLOW_PROTOCOL": "file"})
        if done.returncode:
            raise self._failure(done.stderr.decode("utf-8", "replace"))

    def _run(
        self, words: tuple[str, ...], folder: str, tree: str, more: dict[str, str]
    ) -> CompletedProcess[bytes]:
        import subprocess

        environment = self._environment | more
        if folder:
            environment["GIT_DIR"] = folder
        if tree:
            environment["GIT_WORK_TREE"] = tree
        try:
            return subprocess.run(
                ["git", *words],
                cwd=tree or self._home,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                umask=0o022,
            )
        except FileNotFoundError:
            raise NotFound(
                "git is not installed, and a git repository is to be read", hint="install the package git"
            ) from None

    def _failure(self, stderr: str) -> WherryError:
        lines = [one_line(redacted(line)) for line in stderr.splitlines() if line.strip()]
        fatal = [line.partition(": ")[2] for line in lines if line.startswith(("fatal: ", "error: "))]
        reason = (fatal or lines or ["it failed and said nothing"])[0]
        if reason.startswith("Could not read from remote repository"):
            # ssh has said why, before git
            reason = lines[0]
        reason = re.sub(r"^unable to access '[^']*': ", "", reason)
        if any(sign in stderr for sign in ("terminal prompts disabled", "Authentication failed")):
            return WherryError(
                f"{redacted(self.url)} is not readable without a user and a password that it accepts",
                hint="write them into the URL: https://USER:TOKEN@HOST/...; they are shown nowhere",
            )
        return WherryError(f"git cannot read {redacted(self.url)}: {reason}", hint=_hint(stderr))


def _environment(home: str) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    for theirs, ours in _BUNDLES.items():
        if theirs in os.environ:
            environment.setdefault(ours, os.environ[theirs])
    # As the transport of registries and URLs has it: no proxy for this machine itself.
    near = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "", "localhost", "127.0.0.1", "::1"]
    return environment | {
        "no_proxy": ",".join(filter(None, near)),
        "HOME": home,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TEMPLATE_DIR": "",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": _SSH,
        "GIT_SSH_VARIANT": "ssh",
    }


def _hint(stderr: str) -> str:
    if "Host key verification failed" in stderr:
        return "ssh does not know the host: connect to it once by hand, or add its key to ~/.ssh/known_hosts"
    if "Permission denied (publickey" in stderr:
        return "ssh uses the keys of the agent at SSH_AUTH_SOCK and those in ~/.ssh"
    if "transport 'file' not allowed" in stderr:
        return "a repository must not reach for files of this machine, by a submodule for one"
    if "certificate" in stderr:
        return "set SSL_CERT_FILE to a bundle that has the server's CA"
    return ""


def _safe(path: str) -> str:
    """The setting for a repository of this machine: whoever builds has named it, be it another user's.

    Without it git refuses that, because of commands that such a repository might make it run (git-config(1),
    "safe.directory"); upload-pack, which reads it here, runs none of them.
    """
    quoted = path.rstrip("/").replace("\\", "\\\\").replace('"', '\\"')
    return f'[safe]\n\tdirectory = "{quoted}"\n\tdirectory = "{quoted}/.git"\n'


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if not _HOST.fullmatch(parts.netloc):
        raise UsageError(f"{redacted(url)!r} has no valid host")
    return f"{parts.scheme}://{parts.netloc}"
