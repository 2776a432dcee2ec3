"""What happens in a store is written down by whoever does it, and read by whoever asks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wherry.base.errors import UsageError
from wherry.store import eventfilters, events
from wherry.store.events import Event


def ids(root: Path) -> list[str]:
    return [event.id for event in events.follow(str(root), since=0, over=lambda: True)]


def test_events_come_back_as_they_were(tmp_path: Path) -> None:
    events.record(str(tmp_path), "container", "start", "abc", {"name": "w\xe9b\udcff\n"})
    found = list(events.follow(str(tmp_path), since=0, over=lambda: True))
    assert [event[1:] for event in found] == [("container", "start", "abc", {"name": "w\xe9b\udcff\n"})]
    assert not list(events.follow(str(tmp_path), since=found[0].time + 1, over=lambda: True))
    assert not list(events.follow(str(tmp_path), since=None, over=lambda: True))


def test_the_file_is_bounded(tmp_path: Path) -> None:
    for number in range(30):
        events.record(str(tmp_path), "image", "tag", str(number), {"name": "x" * 100_000})
    found = ids(tmp_path)
    assert found == [str(number) for number in range(30 - len(found), 30)]
    assert 10 <= len(found) < 30
    assert sum(file.stat().st_size for file in (tmp_path / "events").iterdir()) < 2_400_000


def test_nothing_fails_because_it_cannot_be_written_down(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.touch()
    events.record(str(root), "image", "tag", "one")


def test_what_a_killed_writer_left_spoils_nothing(tmp_path: Path) -> None:
    events.record(str(tmp_path), "image", "tag", "one")
    with open(tmp_path / "events/log", "a") as file:
        file.write('[12, "image", "ta')
    events.record(str(tmp_path), "image", "tag", "two")
    assert ids(tmp_path) == ["one", "two"]


def test_many_write_at_once(tmp_path: Path) -> None:
    children = []
    for name in "abcd":
        child = os.fork()
        if not child:
            for number in range(200):
                events.record(str(tmp_path), "image", "tag", f"{name}{number}", {"pad": "x" * 2000})
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    lines = [
        json.loads(line)
        for name in ("log.1", "log")
        for line in (tmp_path / "events" / name).read_text().splitlines()
    ]
    assert lines == sorted(lines)
    for name in "abcd":
        numbers = [int(line[3][1:]) for line in lines if line[3][0] == name]
        assert numbers == list(range(200 - len(numbers), 200))


STARTED = Event(1, "container", "start", "abc123", {"image": "app:v1", "name": "web", "tier": "front"})
CHECKED = STARTED._replace(action="health_status: healthy")
TAGGED = Event(2, "image", "tag", "sha256:77", {"name": "host:5000/app:v1"})
MADE = Event(3, "volume", "create", "data", {"driver": "local"})


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ("", [STARTED, CHECKED, TAGGED, MADE]),
        ("type=image type=volume", [TAGGED, MADE]),
        ("type=image event=start", []),
        ("event=start event=tag", [STARTED, TAGGED]),
        ("event=health_status", [CHECKED]),
        ("event=st", []),
        ("container=web", [STARTED, CHECKED]),
        ("container=abc", [STARTED, CHECKED]),
        ("container=eb", []),
        ("image=app", [STARTED, CHECKED]),
        ("image=app:v1", [STARTED, CHECKED]),
        ("image=host:5000/app", [TAGGED]),
        ("image=sha256:77", [TAGGED]),
        ("volume=data", [MADE]),
        ("network=data", []),
        ("label=tier", [STARTED, CHECKED]),
        ("label=tier=front label=name=web", [STARTED, CHECKED]),
        ("label=tier=back", []),
        ("scope=local", [STARTED, CHECKED, TAGGED, MADE]),
        ("scope=swarm", []),
    ],
)
def test_filters(words: str, taken: list[Event]) -> None:
    wanted = eventfilters.parse(words.split())
    assert [event for event in (STARTED, CHECKED, TAGGED, MADE) if wanted.takes(event)] == taken


@pytest.mark.parametrize("word", ["node=x", "start", "type=daemon"])
def test_filters_that_are_none(word: str) -> None:
    with pytest.raises(UsageError):
        eventfilters.parse([word])
