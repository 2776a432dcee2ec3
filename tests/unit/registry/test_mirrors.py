"""Where a name is asked for, and what happens where a mirror has nothing or fails."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from threading import Event as Signal
from threading import Thread

import pytest

from support import remote
from wherry.base.errors import Denied, NotFound, WherryError
from wherry.base.events import Event, Note
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.registry import mirrors
from wherry.registry.access import Access
from wherry.registry.config import Alias, Mirror, Registries, Table
from wherry.registry.credentials import Credentials
from wherry.registry.failures import Broken
from wherry.registry.mirrors import Source
from wherry.registry.place import Place
from wherry.registry.places import Places
from wherry.registry.pull import pull
from wherry.registry.push import push
from wherry.registry.transport import Retries
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.testing.registry import Answer, Change, Drop, Fault, Registry

AMD64 = platforms.parse("linux/amd64")
QUICK = Retries(attempts=3, first=0.001)
DIGEST = "sha256:" + "a" * 64
FILE = "/etc/containers/registries.conf"


def _table(
    prefix: str,
    location: str = "",
    *others: Mirror,
    insecure: bool | None = None,
    blocked: bool = False,
) -> Table:
    return Table(prefix, location, insecure, blocked, others, FILE)


def _places(name: str, *tables: Table, push: bool = False) -> list[str]:
    reference = references.parse(name)
    return [str(source.reference) for source in mirrors.sources(Registries(tables), reference, push)]


@pytest.mark.parametrize(
    ("name", "table", "place"),
    [
        ("a.example/x:1", _table("b.example", "c.example"), "a.example/x:1"),
        ("a.example/x:1", _table("a.example", "c.example"), "c.example/x:1"),
        ("a.example/x:1", _table("a.example", "c.example/deep/er"), "c.example/deep/er/x:1"),
        ("a.example/x/y:1", _table("a.example/x", "c.example/z"), "c.example/z/y:1"),
        ("a.example/x/y:1", _table("a.example/x/y", "c.example/z"), "c.example/z:1"),
        ("a.example/x/y:1", _table("a.example/x/y:1", "c.example/z:2"), "c.example/z:2"),
        (f"a.example/x@{DIGEST}", _table("a.example/x", "c.example/z"), f"c.example/z@{DIGEST}"),
        (f"a.example/x:1@{DIGEST}", _table("a.example/x", "c.example/z"), f"c.example/z:1@{DIGEST}"),
        (f"a.example/x:1@{DIGEST}", _table(f"a.example/x@{DIGEST}", "c.example/z:2"), "c.example/z:2"),
        # A prefix ends where a part of the name does.
        ("a.example/xy:1", _table("a.example/x", "c.example/z"), "a.example/xy:1"),
        ("a.example/x:12", _table("a.example/x:1", "c.example/z:2"), "a.example/x:12"),
        ("a.example.org/x:1", _table("a.example", "c.example"), "a.example.org/x:1"),
        # Hosts with ports.
        ("a.example:5000/x:1", _table("a.example:5000", "c.example"), "c.example/x:1"),
        ("a.example:5000/x:1", _table("a.example:50", "c.example"), "a.example:5000/x:1"),
        # Wildcards stand for hosts below; without a location the name stays.
        ("r.a.example/x:1", _table("*.a.example", "c.example"), "c.example/x:1"),
        ("r.s.a.example/x:1", _table("*.a.example", "c.example/z"), "c.example/z/x:1"),
        ("r.a.example:5000/x:1", _table("*.a.example"), "r.a.example:5000/x:1"),
        ("r.a.example:5000/x:1", _table("*.a.example", "c.example"), "c.example:5000/x:1"),
        ("a.example/x:1", _table("*.a.example", "c.example"), "a.example/x:1"),
        ("ra.example/x:1", _table("*.a.example", "c.example"), "ra.example/x:1"),
        ("b.example/r.a.example:1", _table("*.a.example", "c.example"), "b.example/r.a.example:1"),
        # Docker Hub's names are whole ones.
        ("flask:1", _table("docker.io", "hub.example"), "hub.example/library/flask:1"),
        ("flask:1", _table("docker.io/library", "hub.example/official"), "hub.example/official/flask:1"),
        ("flask:1", _table("docker.io/flask", "hub.example"), "docker.io/library/flask:1"),
        ("team/flask:1", _table("docker.io/team", "hub.example/t"), "hub.example/t/flask:1"),
    ],
)
def test_where_a_name_is_read(name: str, table: Table, place: str) -> None:
    assert _places(name, table) == [place]


def test_the_longest_prefix_wins() -> None:
    tables = (
        _table("a.example", "one.example"),
        _table("a.example/team/app", "three.example/x"),
        _table("a.example/team", "two.example"),
    )
    for order in (tables, tables[::-1]):
        assert _places("a.example/team/app:1", *order) == ["three.example/x:1"]
        assert _places("a.example/team/other:1", *order) == ["two.example/other:1"]
        assert _places("a.example/x:1", *order) == ["one.example/x:1"]


@pytest.mark.parametrize("location", ["c.example", "c.example/UPPER", "c.example/a//b"])
def test_a_location_that_makes_no_name(location: str) -> None:
    """Above all it must not become a name of Docker Hub's: `c.example:1` could be read as one."""
    with pytest.raises(
        WherryError, match=f"{FILE}: {location} in place of a.example/x makes .*, which is no"
    ):
        _places("a.example/x:1", _table("a.example/x", location))


def test_mirrors_come_first_and_in_their_order() -> None:
    table = _table(
        "a.example/x",
        "home.example/y",
        Mirror("one.example/m", True, "all"),
        Mirror("two.example:5000/n", None, "digest-only"),
        Mirror("three.example/o", None, "tag-only"),
    )
    assert _places("a.example/x/app:1", table) == [
        "one.example/m/app:1",
        "three.example/o/app:1",
        "home.example/y/app:1",
    ]
    assert _places(f"a.example/x/app:1@{DIGEST}", table) == [
        f"one.example/m/app:1@{DIGEST}",
        f"two.example:5000/n/app:1@{DIGEST}",
        f"home.example/y/app:1@{DIGEST}",
    ]


def test_a_push_goes_to_the_registry_itself() -> None:
    table = _table("a.example", "c.example", Mirror("b.example", None, "all"))
    assert _places("a.example/x:1", table, push=True) == ["a.example/x:1"]


def test_what_is_blocked() -> None:
    table = _table("a.example/bad", blocked=True)
    for push_ in (False, True):
        with pytest.raises(Denied, match=rf"a\.example/bad/x:1 is blocked: {FILE} forbids a\.example/bad"):
            _places("a.example/bad/x:1", table, push=push_)
    # A mirror that is blocked under its own name is no mirror.
    mirrored = _table("c.example", "c.example", Mirror("a.example/bad", None, "all"))
    assert _places("c.example/x:1", mirrored, table) == ["c.example/x:1"]


def _meant(short: str, alias: str, name: str, push: bool = False) -> str:
    registries = Registries((), {short: Alias(alias, FILE)}, short=short)
    return str(mirrors.sources(registries, references.parse(name), push)[-1].reference)


def test_an_alias_keeps_tag_and_digest() -> None:
    assert _meant("app", "a.example/t/app", "app:1") == "a.example/t/app:1"
    assert _meant("app", "a.example/t/app", f"app@{DIGEST}") == f"a.example/t/app@{DIGEST}"
    assert _meant("app", "a.example/t/app", "app:1", push=True) == "docker.io/library/app:1"


@pytest.mark.parametrize(
    "alias", ["app", "team/app", "a.example/app:1", f"a.example/x@{DIGEST}", "a.example"]
)
def test_an_alias_is_a_whole_name(alias: str) -> None:
    with pytest.raises(WherryError, match=f"{FILE}: the alias '{alias}' is no whole name"):
        _meant("app", alias, "app:1")


def test_an_alias_has_mirrors_too() -> None:
    registries = Registries(
        (_table("a.example", "a.example", Mirror("m.example", None, "all")),),
        {"app": Alias("a.example/app", FILE)},
        short="app",
    )
    found = mirrors.sources(registries, references.parse("app:1"))
    assert [str(one.reference) for one in found] == ["m.example/app:1", "a.example/app:1"]


@pytest.mark.parametrize(
    ("verify", "insecure", "host", "unverified"),
    [
        (None, None, "a.example", False),
        (None, True, "a.example", True),
        (None, False, "127.0.0.1:5000", False),
        (None, None, "127.0.0.1:5000", True),
        (True, True, "a.example", False),
        (True, None, "localhost", False),
        (False, None, "a.example", True),
        (False, False, "a.example", True),
    ],
)
def test_who_may_go_unverified(
    verify: bool | None, insecure: bool | None, host: str, unverified: bool
) -> None:
    registries = Registries((_table(host, host, insecure=insecure),), verify=verify)
    (source,) = mirrors.sources(registries, references.parse(f"{host}/x"))
    assert mirrors.trust(registries, source).of(host).unverified == unverified
    # For a login there is a host and no name.
    assert mirrors.trust(registries).of(host).unverified == unverified


def test_that_one_registry_is_insecure_says_nothing_of_another() -> None:
    """Where it sends us on to, and the server that it names for tokens, must prove who they are."""
    registries = Registries(
        (_table("a.example", "a.example", insecure=True), _table("*.c.example", insecure=True))
    )
    (source,) = mirrors.sources(registries, references.parse("a.example/x"))
    trust = mirrors.trust(registries, source)
    assert [trust.of(host).unverified for host in ("a.example", "b.example", "a.example:5000")] == [
        True,
        False,
        False,
    ]
    assert trust.of("blobs.c.example:9000").unverified


class _Run:
    """Pulls `example.com/app:v1` through a list of mirrors, `home` being the registry itself."""

    def __init__(self, store: Store, tmp_path: Path, home: Registry, *others: Registry) -> None:
        self._store = store
        self._path = tmp_path / "auth.json"
        listed = [Mirror(f"{one.host}/copy", None, "all") for one in others]
        self.registries = Registries((_table("example.com", home.host, *listed),))
        self.events: list[Event] = []

    def know(self, server: Registry) -> None:
        """The credential of a server's user."""
        known = json.loads(self._path.read_text())["auths"] if self._path.exists() else {}
        auth = b64encode(f"{server.user}:{server.password}".encode()).decode()
        self._path.write_text(json.dumps({"auths": known | {server.host: {"auth": auth}}}))

    def pull(self, name: str = "example.com/app:v1") -> Image:
        return pull(
            self._store,
            references.parse(name),
            AMD64,
            self.events.append,
            access=Access(self.registries, Credentials(str(self._path)), QUICK),
        )

    @property
    def notes(self) -> list[tuple[str, str]]:
        return [(event.level, event.text) for event in self.events if isinstance(event, Note)]


IMAGE = remote.make({"a": b"1" * 1000}, {"b": b"2" * 1000})


def test_the_first_mirror_that_has_it_is_read(store: Store, tmp_path: Path) -> None:
    with Registry() as home, Registry() as mirror, Registry() as second:
        remote.publish(mirror, "copy/app:v1", IMAGE)
        run = _Run(store, tmp_path, home, mirror, second)
        image = run.pull()
        assert store.images.id_of(references.parse("example.com/app:v1")) == image.id == IMAGE.id
        assert (home.log, second.log) == ([], [])
        assert run.notes == [("info", f"example.com/app:v1 comes from {mirror.host}/copy/app:v1 ({FILE})")]


def test_a_mirror_that_has_it_not_is_passed_over(store: Store, tmp_path: Path) -> None:
    with Registry() as home, Registry() as empty, Registry() as mirror:
        remote.publish(mirror, "copy/app:v1", IMAGE)
        run = _Run(store, tmp_path, home, empty, mirror)
        run.pull()
        assert len(empty.log) == 1, "it is not asked again for the layers"
        assert run.notes[0] == (
            "info",
            f"the mirror {empty.host} is passed over: no such image: example.com/app:v1:"
            f" {empty.host} answers 404: manifest unknown",
        )


def test_the_registry_itself_comes_last(store: Store, tmp_path: Path) -> None:
    with Registry() as home, Registry() as mirror:
        remote.publish(home, "app:v1", IMAGE)
        run = _Run(store, tmp_path, home, mirror)
        assert run.pull().id == IMAGE.id
        remote.publish(home, "other:v1", IMAGE)
        with pytest.raises(NotFound, match=f"no such image: example.com/gone:v1: {home.host} answers 404"):
            run.pull("example.com/gone:v1")


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500),
        Answer(429, (("Retry-After", "60"),)),
        Answer(403),
        Answer(401, (("WWW-Authenticate", 'Basic realm="x"'),)),
        Answer(200, (("Content-Type", "text/html"),), b"<html>"),
        Answer(200, (("Docker-Content-Digest", DIGEST),), IMAGE.manifest),
        Drop(10),
        Answer(302, (("Location", "ftp://x"),)),
    ],
)
def test_a_mirror_that_fails_is_passed_over(
    store: Store, tmp_path: Path, fault: Answer | Drop | Change
) -> None:
    with Registry() as home, Registry() as mirror:
        remote.publish(home, "app:v1", IMAGE)
        remote.publish(mirror, "copy/app:v1", IMAGE)
        mirror.faults.append(Fault("GET", "/manifests/", fault, times=99))
        run = _Run(store, tmp_path, home, mirror)
        assert run.pull().id == IMAGE.id
        assert run.notes[0][0] == "warning"
        assert run.notes[0][1].startswith(f"the mirror {mirror.host} is passed over: ")
        assert not mirror.asked("GET", "/blobs/")


def test_a_mirror_that_is_not_there_is_passed_over(store: Store, tmp_path: Path) -> None:
    with Registry() as home:
        with Registry() as gone:
            pass
        remote.publish(home, "app:v1", IMAGE)
        run = _Run(store, tmp_path, home, gone)
        assert run.pull().id == IMAGE.id
        assert "connection refused" in run.notes[0][1]


@pytest.mark.parametrize("fault", [Answer(404), Answer(500), Drop(500)])
def test_a_mirror_that_fails_in_the_middle(store: Store, tmp_path: Path, fault: Answer | Drop) -> None:
    """What is left of a layer comes from the next place: it is named by its digest."""
    with Registry() as home, Registry() as mirror:
        image = remote.make({"a": bytes(range(256)) * 4000}, {"b": b"2"})
        remote.publish(home, "app:v1", image)
        remote.publish(mirror, "copy/app:v1", image)
        layer = remote.sha256(image.layers[0])
        mirror.faults.append(Fault("GET", layer, fault, times=99))
        run = _Run(store, tmp_path, home, mirror)
        assert run.pull().id == image.id
        assert not home.asked("GET", "/manifests/")
        (asked,) = home.asked("GET", layer)
        if isinstance(fault, Drop):
            assert asked.headers["Range"] == "bytes=1000-", "two tries of 500 bytes are not asked for again"


def test_credentials_are_those_of_the_mirror(store: Store, tmp_path: Path) -> None:
    with Registry("ann", "for home") as home, Registry("bob", "for the mirror", tokens=True) as mirror:
        remote.publish(mirror, "copy/app:v1", IMAGE)
        run = _Run(store, tmp_path, home, mirror)
        run.know(home)
        run.know(mirror)
        assert run.pull().id == IMAGE.id
        sent = {item.headers.get("Authorization", "") for item in mirror.log}
        assert not any(b64encode(b"ann:for home").decode() in header for header in sent)
        (grant,) = mirror.issued.values()
        assert "repository:copy/app:pull" in str(grant)


def test_a_mirror_gets_no_credential_of_the_registry(store: Store, tmp_path: Path) -> None:
    """Neither at once nor when it asks for one: it is another host."""
    with Registry("ann", "secret") as home, Registry("ann", "secret") as mirror:
        remote.publish(home, "app:v1", IMAGE)
        remote.publish(mirror, "copy/app:v1", IMAGE)
        run = _Run(store, tmp_path, home, mirror)
        run.know(home)
        assert run.pull().id == IMAGE.id
        assert mirror.log
        assert not any("Authorization" in item.headers for item in mirror.log)


def test_a_push_asks_no_mirror(store: Store, tmp_path: Path) -> None:
    with Registry() as home, Registry() as mirror:
        remote.publish(home, "app:v1", IMAGE)
        image = _Run(store, tmp_path, home, mirror).pull()
        mirror.log.clear()
        registries = Registries((_table(home.host, home.host, Mirror(mirror.host, None, "all")),))
        push(store, image, home.reference("new:v1"), access=Access(registries=registries, retries=QUICK))
        assert mirror.log == []
        assert ("new", "v1") in home.manifests


def test_searched_registries_are_named_where_nothing_is_found(store: Store) -> None:
    with Registry() as hub:
        registries = Registries((_table("docker.io", hub.host),), searched=("quay.io",), short="gone")
        with pytest.raises(NotFound) as caught:
            pull(store, references.parse("gone"), AMD64, access=Access(registries=registries, retries=QUICK))
        assert "write quay.io/gone" in caught.value.hint


def test_a_late_failure_does_not_lead_back() -> None:
    """While one thread waits for the first place, another finds out that the first two are of no use."""
    named = references.parse("a.example/x:1")
    trust = mirrors.trust(Registries())
    hosts = ("one.example", "two.example", "three.example")
    all_places = [Place(Source(references.parse(f"{host}/x:1")), named, (), trust) for host in hosts]
    events: list[Event] = []
    places = Places(all_places, events.append)
    waiting, gate = Signal(), Signal()
    seen: list[str] = []

    def late(place: Place) -> None:
        if place is all_places[0]:
            waiting.set()
            gate.wait(60)
            raise Broken("late")
        seen.append(place.registry)

    def quick(place: Place) -> str:
        if place is not all_places[2]:
            raise Broken("quick")
        return place.registry

    thread = Thread(target=places.first, args=(late,))
    thread.start()
    assert waiting.wait(60)
    assert places.first(quick) == "three.example"
    gate.set()
    thread.join(60)
    assert seen == ["three.example"]
    assert len([event for event in events if isinstance(event, Note) and "passed over" in event.text]) == 2
