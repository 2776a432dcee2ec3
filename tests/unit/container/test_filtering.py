"""`ps --filter`, on containers that were never made."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.base.errors import NotFound, UsageError
from wherry.container.containers import Container
from wherry.container.filtering import matching
from wherry.container.options.mounting import Volume
from wherry.container.options.networking import Attachment, Networks, Place
from wherry.container.state import CREATED, EXITED, PAUSED, RUNNING, Folder, Spec, State
from wherry.runtime.net.ports import Port


def made(name: str, number: int, state: State, **fields: Any) -> Container:
    identity = f"{number}" * 64
    spec = Spec(
        id=identity, name=name, image=f"sha256:{'a' * 64}", image_name="app:v1", created=number, args=("x",)
    )
    return Container(Folder(f"/nowhere/{identity}"), spec._replace(**fields), state)


WEB = made(
    "web", 1, State(RUNNING, places=(Place("front", "f" * 64, (), "", "", ""),)),
    ports=(Port("", 8080, 80, "tcp"),), exposed=("53/udp", "80/tcp"), labels=(("tier", "front"),),
    networks=Networks((Attachment("front"),)), volumes=(Volume("volume", "data", "/data"),),
)  # fmt: skip
DB = made("web-db", 2, State(PAUSED), image_name="db:latest", volumes=(Volume("bind", "/srv", "/data"),))
JOB = made("job", 3, State(EXITED, exit_code=3), exposed=("8000/tcp",), network="container:web")
NEW = made("new", 4, State(CREATED), network="none")
EVERY = [NEW, JOB, DB, WEB]


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ("", EVERY),
        ("name=web", [DB, WEB]),
        ("name=^web$", [WEB]),
        ("name=/web", [DB, WEB]),
        ("name=we(", []),
        ("name=job name=new", [NEW, JOB]),
        ("name=web status=paused", [DB]),
        ("status=running status=paused", [DB, WEB]),
        ("exited=3", [JOB]),
        ("exited=0", []),
        ("id=33", [JOB]),
        ("ancestor=app:v1", [NEW, JOB, WEB]),
        ("ancestor=db", [DB]),
        ("ancestor=aaaa", EVERY),
        (f"ancestor=sha256:{'a' * 64}", EVERY),
        ("label=tier", [WEB]),
        ("label=tier=back", []),
        ("before=job", [DB, WEB]),
        ("since=web-db", [NEW, JOB]),
        ("since=1111", [NEW, JOB, DB]),
        ("volume=data", [WEB]),
        ("volume=/data", [DB, WEB]),
        ("volume=/srv/", [DB]),
        ("network=front", [WEB]),
        ("network=ffff", [WEB]),
        ("network=none", [NEW]),
        ("network=default", [DB]),
        ("publish=80", [WEB]),
        ("publish=8080", []),
        ("publish=79-81/tcp", [WEB]),
        ("publish=80/udp", []),
        ("expose=53/udp", [WEB]),
        ("expose=7000-9000", [JOB]),
        ("health=none", EVERY),
        ("health=healthy", []),
    ],
)
def test_filters(words: str, taken: list[Container]) -> None:
    assert [one.spec.name for one in matching(EVERY, words.split())] == [one.spec.name for one in taken]


@pytest.mark.parametrize(
    "word", ["name", "frob=x", "status=fine", "health=fine", "publish=web", "expose=1-", "exited=x"]
)
def test_filters_that_are_none(word: str) -> None:
    with pytest.raises(UsageError):
        matching(EVERY, [word])


def test_a_filter_by_a_container_that_is_not_there() -> None:
    with pytest.raises(NotFound):
        matching(EVERY, ["before=nobody"])
