"""Builds and containers of a user with one id: as root's, owners included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from support import bases, busybox, cli, listening, ordinary
from support.cli import Wherry, write_files
from wherry.layer.entry import Entry
from wherry.layer.layers import Layers
from wherry.store.store import Store

pytestmark = pytest.mark.needs("root", "busybox", "setpriv")

Files = Mapping[str, str | bytes]


class Both:
    """The same build, as root and as a user with one id."""

    def __init__(self, as_root: Wherry, as_user: Wherry, home: Path) -> None:
        self.as_root = as_root
        self.as_user = as_user
        self.home = home
        self._count = 0

    def seed(self, base: str) -> None:
        for wherry in (self.as_root, self.as_user):
            if base == "busybox":
                busybox.put(str(wherry.root), "base")
            else:
                with Store.open(str(wherry.root)) as store:
                    bases.seed(store, base)
        ordinary.hand_over(self.as_user.root)

    def context(self, files: Files) -> Path:
        self._count += 1
        return write_files(self.home / f"context-{self._count}", files)

    def same(self, dockerfile: str, **files: str) -> None:
        """Build it twice: the images are equal, and where they are not it is said which files are not."""
        named = {name.replace("_", "."): text for name, text in files.items()}
        folder = self.context({"Dockerfile": dockerfile, **named})
        images = [wherry.ok("build", "-q", "-t", "app", folder) for wherry in (self.as_root, self.as_user)]
        for mine, theirs in zip(layers(self.as_root), layers(self.as_user), strict=True):
            assert [entry for entry in theirs if entry not in mine] == [e for e in mine if e not in theirs]
        assert images[0] == images[1]

    def alike(self, dockerfile: str) -> dict[str, Owned]:
        """Build twice what is never the same twice: kinds, modes and owners are. Those of the last layers."""
        folder = self.context({"Dockerfile": dockerfile})
        for wherry in (self.as_root, self.as_user):
            wherry.ok("build", "-q", "-t", "app", folder)
        count = dockerfile.count("\nRUN ")
        mine, theirs = (owned(layers(wherry)[-count:]) for wherry in (self.as_root, self.as_user))
        assert {path: owner for path, owner in theirs.items() if mine.get(path) != owner} == {}
        assert mine.keys() == theirs.keys()
        return theirs


@pytest.fixture
def both(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Both]:
    """Root and a user, who has a single id unless the test asks for `userns`."""
    with ordinary.user(subordinate=getattr(request, "param", "") == "userns") as someone:
        home, proxy = someone.home, cli.behind_proxy()
        user = Wherry(home / "store", home / "docker", proxy, prefix=someone.prefix)
        yield Both(Wherry(tmp_path / "root", tmp_path / "docker", proxy), user, home)


def layers(wherry: Wherry) -> list[list[Entry]]:
    with Store.open(str(wherry.root)) as store:
        contents = Layers(store)
        return [list(contents.index(diff_id).entries) for diff_id in store.images.find("app").config.diff_ids]


class Owned(NamedTuple):
    kind: str
    mode: int
    uid: int
    gid: int


def owned(found: list[list[Entry]]) -> dict[str, Owned]:
    return {
        entry.path: Owned(entry.kind, entry.mode, entry.uid, entry.gid)
        for entries in found
        for entry in entries
        if not entry.path.startswith(("var/lib/apt/lists", "var/cache/apt", "root/.npm/_logs"))
    }


OWNERS = """FROM base
COPY --chown=5:6 a.txt /a
RUN mkdir /own && cp /a /own/f && ln -s f /own/l && ln /own/f /own/hard && mkfifo /own/p \\
 && chown -R 7:8 /own && chmod 700 /own && chmod 4755 /own/f && echo > /own/'a b' && chown 9:1 /own/'a b'
RUN echo more >> /a && mv /own/f /own/g && touch /own/new && ln -s /a /own/m && chown -h 3:4 /own/m \\
 && mv /own/m /own/n && chown 0:0 /own/hard && cd /own && chown 11:12 . ../a ./n && : > /own/l
WORKDIR /w
RUN mkdir -m 2775 shared && chgrp 50 shared && touch shared/f && mkdir shared/d && ln -s f shared/l
RUN mkdir -m 1777 /t && chown web /w
USER web
RUN id -u > /w/id && mkdir /w/mine && touch /t/x && ln -s id /w/link
RUN echo >> /w/id && rm /w/link && mv /w/mine /w/yours
"""


def test_owners_are_roots(both: Both) -> None:
    both.seed("busybox")
    both.same(OWNERS, a_txt="text")
    # the streams are made again from trees that have no owners
    both.as_user.ok("save", "-o", both.home / "app.tar", "app")
    both.as_root.ok("rmi", "app")
    both.as_root.ok("load", "-i", both.home / "app.tar")


def test_copying_root_filesystems_is_refused(both: Both) -> None:
    both.seed("busybox")
    folder = both.context({"Dockerfile": "FROM base\nRUN true\n"})
    refused = both.as_user("build", "--snapshotter=copy", folder)
    assert refused.code == 1
    assert "error: root filesystems cannot be copied in the single-id mode\n" in refused.err


PACKAGES = r"""FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends cron openssh-client
RUN useradd -m -s /bin/sh app && usermod -aG mail app && groupadd more && chown app:more /home/app/.profile
RUN sed -i 's/^app:!/app:*/' /etc/shadow && cp -a /usr/bin/crontab /opt/tab && echo x > /var/mail/app
RUN su app -c 'id -un' > /opt/su && setpriv --reuid app --regid 8 --init-groups id > /opt/setpriv \
 && runuser -u app -- sh -c 'id -u; chown 5 /opt/su 2>&1 || true' > /opt/runuser \
 && dpkg-statoverride --update --add app mail 6755 /opt/tab
RUN mkdir -m 2777 /grp && chgrp 50 /grp && su app -c 'umask 027; mkdir -p ~/a/b && echo x > ~/a/b/f; \
 ln -s f ~/a/b/l; cp ~/a/b/f ~/a/g; mv ~/a/g ~/a/h; mktemp ~/a/tmp; touch /grp/x; mkdir /grp/y; cat ~/a/b/l; \
 mkdir ~/a; mkdir /nowhere/x; echo > /nowhere/y; (set -C; echo > ~/a/h); ln -s x ~/a; echo > ~/b/; \
 echo more >> ~/a/h; : > ~/a/b/l; ln ~/a/h ~/hard; cat ~/a/h' > /opt/made 2>&1; touch /home/app/plain; \
 perl -e 'sysopen(F, "/opt/p", 0102, 0400); print F "x"; chmod 0777, "/opt"; \
 $( = 6; $) = "6 7"; $< = $> = 5; print "$< $> $( $)\n"; open(G, ">/opt/q"); print G "y"; close G; \
 sysopen(F, "/opt/q", 0301) and print "two\n"; sysopen(F, "/opt/r", 0302, 0) and print F "z"; \
 mkdir "/opt/s", 07777' >> /opt/made
"""


USERS = pytest.mark.parametrize("both", ["single-id", "userns"], indirect=True)


@pytest.mark.needs("mmdebstrap")
@USERS
def test_packages_accounts_and_other_users(both: Both) -> None:
    both.seed("debian:bookworm-slim")
    found = both.alike(PACKAGES)
    assert found["usr/bin/crontab"].mode & 0o2000
    assert found["etc/shadow"] == ("f", 0o640, 0, 42)
    assert found["home/app"].uid == 1000
    run = (
        "run",
        "--rm",
        "--network=none",
        "app",
        "sh",
        "-c",
        "cat /opt/su /opt/setpriv /opt/runuser /opt/made",
    )
    assert both.as_user.ok(*run) == both.as_root.ok(*run)


LANGUAGES = {
    "python:3.11-slim": "pip install --no-cache-dir --root-user-action=ignore idna==3.7",
    "node:18-slim": "mkdir /app && cd /app && npm install --no-audit left-pad@1.3.0",
}


@pytest.mark.needs("mmdebstrap")
@USERS
@pytest.mark.parametrize("base", LANGUAGES)
def test_packages_of_languages(both: Both, base: str) -> None:
    both.seed(base)
    found = both.alike(f"FROM {base}\nRUN {LANGUAGES[base]}\n")
    assert any("idna" in path or "left-pad" in path for path in found)


LOSSY = "FROM base\nRUN touch /f && chown 5:6 /f && cp -p /f /g\nRUN chmod 600 /g\n"
"""`cp -p` takes the owner that it sees."""


@pytest.mark.needs("newuidmap")
def test_its_results_are_not_taken_for_those_of_other_modes() -> None:
    with ordinary.user() as someone:
        user = Wherry(someone.home / "store", someone.home / "docker", prefix=someone.prefix)
        ordinary.put_busybox(someone, user.root, "base")
        folder = write_files(someone.home / "context", {"Dockerfile": LOSSY})
        build = ("build", "--progress=plain", "-t", "app", folder)

        def owners() -> list[tuple[int, int]]:
            return [(entry.uid, entry.gid) for found in layers(user)[1:] for entry in found]

        one = {"WHERRY_ISOLATION": "single-id"}
        assert "RUN has a single id here" in user(*build, env=one).err
        assert owners() == [(5, 6), (0, 0), (0, 0)]
        again = user(*build, env=one).err
        assert (again.count("CACHED"), "single id" in again) == (3, False)
        assert user(*build).err.count("CACHED") == 1
        assert owners() == [(5, 6), (5, 6), (5, 6)]
        # what is true in every mode is taken in this one too
        assert user(*build, env=one).err.count("CACHED") == 3
        assert owners() == [(5, 6), (5, 6), (5, 6)]
        # the other way round: a tree of the one is none of the other's
        (folder / "Dockerfile").write_text("FROM app\nRUN echo >> /g\n")
        for env in (one, {}):
            user.ok("build", "--no-cache", "-t", "app2", folder, env=env)
            with Store.open(str(user.root)) as store:
                top = store.images.find("app2").config.diff_ids[-1]
                assert [(e.path, e.uid, e.gid) for e in Layers(store).index(top).entries] == [("g", 5, 6)]
        user.ok("rmi", "app", "app2", "base")
        user.ok("prune", "-a", "-f")
        assert not list((user.root / "layers").iterdir())


def test_containers(both: Both) -> None:
    both.seed("busybox")
    user = both.as_user
    user.ok("build", "-t", "app", both.context({"Dockerfile": OWNERS, "a.txt": "text"}))

    def run(script: str, *flags: str) -> str:
        return user.ok("run", "--network=none", *flags, "app", "sh", "-c", script)

    assert run("id -u; echo > /w/new; stat -c %u /w/new", "--rm") == "1000\n1000\n"
    run("mkdir -m 0 /closed && touch /closed/x && chown -R 8 /closed", "--name=closed", "-u", "0:0")
    assert run("id -u > /t/id; id -G", "--rm", "-u", "7:8", "-v", "kept:/t") == "8\n"
    assert run("cat /t/id", "--rm", "-v", "kept:/t") == "7\n"
    user.ok("rm", "-v", "closed")
    user.ok("rmi", "app", "base")
    user.ok("prune", "-a", "-f")
    assert not list((user.root / "layers").iterdir())
    assert [path.name for path in (user.root / "containers").iterdir()] == ["names"]


def test_devices_and_pipes_are_in_the_layer(both: Both) -> None:
    both.seed("busybox")
    user = both.as_user
    lines = (
        "FROM base\n"
        "RUN mknod -m 640 /null c 1 3 && mknod /disk b 259 70000 && mknod /pipe p && chown 5:6 /null /pipe"
        " && ! mknod /null c 1 3 2>/dev/null && ! mknod /white c 0 0 2>/dev/null && ln /null /same\n"
        "RUN chmod 600 /null && mv /disk /d2\n"
    )
    user.ok("build", "-t", "app", both.context({"Dockerfile": lines}))
    _, first, second = layers(user)
    found = {e.path: (e.kind, e.mode, e.uid, e.gid, e.device, e.size, e.link) for e in first + second}
    assert found == {
        "disk": ("w", 0, 0, 0, (0, 0), 0, ""),
        "d2": ("b", 0o644, 0, 0, (259, 70000), 0, ""),
        "null": ("c", 0o600, 5, 6, (1, 3), 0, ""),
        "same": ("c", 0o640, 5, 6, (1, 3), 0, ""),
        "pipe": ("p", 0o644, 5, 6, (0, 0), 0, ""),
    }


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("chown 1 /nothing", "No such file"),
        ("chown 1 /etc/passwd/x", "Not a directory"),
        ("chown 1 /proc/sys/kernel/hostname", "Read-only file system"),
        ("chown 5 /dev/stdout && echo fine", "fine"),
        ("ln -s /etc/passwd /l && chown 5 /l && chown -h 6 /l && echo fine", "fine"),
        ("cd /etc; exec 3<.; chown 5 /proc/self/cwd/passwd /dev/fd/3 /proc/self/root/etc && pwd", "/etc"),
        ("ln -s l /l && chown 5 /l", "Too many levels of symbolic links"),
        ("chmod 4755 /bin/busybox && chown 0 /bin/busybox && stat -c %a /bin/busybox", "755"),
        ("mkdir /x && touch /x/f && cp /bin/busybox /x && chroot /x /busybox chown 5 /f; ls /x", "f"),
    ],
)  # fmt: skip
def test_errors_are_the_kernels(both: Both, command: str, expected: str) -> None:
    both.seed("busybox")
    words = ("run", "--rm", "--network=none", "base", "sh", "-c", f"({command}) 2>&1 | tail -1")
    printed = both.as_user.ok(*words)
    assert expected in printed
    assert printed == both.as_root.ok(*words)


def test_where_somebody_else_listens_owners_are_lost_and_that_is_said(both: Both) -> None:
    """A process can have one listener: wherry may run in a container whose manager has it."""
    both.seed("busybox")
    user = both.as_user
    at = len(user.command) - len(cli.COMMAND)
    user.command[at:at] = listening.PREFIX
    lines = "FROM base\nRUN touch /f && chown 5:6 /f && mknod /n c 1 3\nRUN chown 7 /f\nUSER 9\nRUN id -u\n"
    built = user("build", "--progress=plain", "-t", "app", both.context({"Dockerfile": lines}))
    assert built.code == 0, built.err
    assert built.err.count("owners that it gives with chown are lost") == 1
    assert [(e.path, e.uid, e.gid) for e in layers(user)[1]] == [("f", 0, 0)]
    assert " 9\n" in built.err


def test_without_the_seccomp_profile_ids_are_answered_all_the_same(both: Both) -> None:
    both.seed("busybox")
    script = "touch /x && chown 5:6 /x && unshare -U true && id -u"
    words = ("run", "--rm", "--network=none", "--security-opt=seccomp=unconfined", "base", "sh", "-c", script)
    assert both.as_user.ok(*words) == "0\n"
