"""Builds and containers of a user with one id: as root's, owners included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support import bases, busybox, cli, ordinary
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
        self._home = home
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
        return write_files(self._home / f"context-{self._count}", files)

    def same(self, dockerfile: str, **files: str) -> None:
        """Build it twice: the images are equal, and where they are not it is said which files are not."""
        named = {name.replace("_", "."): text for name, text in files.items()}
        folder = self.context({"Dockerfile": dockerfile, **named})
        images = [wherry.ok("build", "-q", "-t", "app", folder) for wherry in (self.as_root, self.as_user)]
        for mine, theirs in zip(layers(self.as_root), layers(self.as_user), strict=True):
            assert [entry for entry in theirs if entry not in mine] == [e for e in mine if e not in theirs]
        assert images[0] == images[1]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    with ordinary.user(subordinate=False) as someone:
        home, proxy = someone.home, cli.behind_proxy()
        user = Wherry(home / "store", home / "docker", proxy, prefix=someone.prefix)
        yield Both(Wherry(tmp_path / "root", tmp_path / "docker", proxy), user, home)


def layers(wherry: Wherry) -> list[list[Entry]]:
    with Store.open(str(wherry.root)) as store:
        contents = Layers(store)
        return [list(contents.index(diff_id).entries) for diff_id in store.images.find("app").config.diff_ids]


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


def test_copying_root_filesystems_is_refused(both: Both) -> None:
    both.seed("busybox")
    folder = both.context({"Dockerfile": "FROM base\nRUN true\n"})
    refused = both.as_user("build", "--snapshotter=copy", folder)
    assert refused.code == 1
    assert "error: root filesystems cannot be copied in the single-id mode\n" in refused.err
