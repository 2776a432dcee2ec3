"""Containers on disk: names, look-up, what is true after a kill, damage."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from wherry.base.errors import Corrupt, NotFound, WherryError
from wherry.container.containers import Containers, images_in_use
from wherry.container.names import random_name
from wherry.container.options.mounting import Volume
from wherry.container.options.rights import Rights
from wherry.container.state import EXITED, RUNNING, UNKNOWN_EXIT, Life, Spec, State, life_of
from wherry.runtime.net.ports import Port
from wherry.store.store import Store

FIRST, SECOND = "a" * 64, "ab" * 32


def a_spec(container_id: str = FIRST, name: str = "one", remove: bool = False) -> Spec:
    return Spec(
        id=container_id,
        name=name,
        image="sha256:" + "1" * 64,
        image_name="app",
        created=1.5,
        args=("sh", "-c", "\udcff"),
        labels=(("a", "b"),),
        ports=(Port("", 80, 8080),),
        volumes=(Volume("volume", "data", "/data", anonymous=True),),
        remove=remove,
    )


@pytest.fixture
def containers(store: Store) -> Containers:
    return Containers(store.root)


def test_written_and_read(containers: Containers) -> None:
    spec = containers.create(a_spec())
    state = State(RUNNING, life_of(os.getpid()), 5, 1.0, ports=spec.ports)
    containers.folder(FIRST).write_state(state)
    found = containers.find("one")
    assert (found.spec, found.state) == (spec, state)
    assert containers.find("aa").id == containers.find(FIRST).id == FIRST


def test_container_of_an_older_version_is_read(containers: Containers) -> None:
    """Its values were lists, it lacks what came later, and its rights lay among the rest."""
    containers.create(a_spec())
    folder = containers.folder(FIRST)
    spec = Path(folder.file("spec.json"))
    document = json.loads(spec.read_text())
    for name in ("rights", "health", "restart", "log", "networks"):
        del document[name]
    document |= {"ports": [["", 80, 8080, "tcp"]], "no_new_privileges": True, "seccomp": False}
    spec.write_text(json.dumps(document))
    life = life_of(os.getpid())
    Path(folder.file("state.json")).write_text(json.dumps({"status": RUNNING, "monitor": life, "pid": 5}))
    found = containers.find("one")
    assert found.spec == a_spec()._replace(rights=Rights(no_new_privileges=True, seccomp=False))
    assert found.state == State(RUNNING, life, 5)


def test_names_are_taken_once(containers: Containers) -> None:
    containers.create(a_spec())
    with pytest.raises(WherryError, match="'one' is already in use by container aaaaaaaaaaaa"):
        containers.create(a_spec(SECOND))
    assert [item.id for item in containers.all()] == [FIRST]
    with containers.folder(FIRST).locked():
        containers.delete(containers.find("one"))
    assert containers.create(a_spec(SECOND)).name == "one"
    assert not os.path.exists(containers.folder(FIRST).path)


def test_name_of_a_vanished_container_is_free(containers: Containers) -> None:
    containers.create(a_spec())
    os.unlink(containers.folder(FIRST).file("spec.json"))
    assert containers.create(a_spec(SECOND)).name == "one"
    assert containers.find("one").id == SECOND


def test_look_up_that_fails(containers: Containers) -> None:
    containers.create(a_spec())
    containers.create(a_spec(SECOND, "two"))
    with pytest.raises(WherryError, match="several"):
        containers.find("a")
    for text in ("three", "ff", "../names", ".", "", "A"):
        with pytest.raises(NotFound):
            containers.find(text)


def test_dead_monitor_is_settled(containers: Containers) -> None:
    child = subprocess.Popen(["sleep", "60"])
    containers.create(a_spec())
    containers.folder(FIRST).write_state(State(RUNNING, life_of(child.pid), 7, 1.0))
    assert containers.find("one").is_running
    child.kill()
    child.wait()
    state = containers.find("one").state
    assert (state.status, state.exit_code, state.pid) == (EXITED, UNKNOWN_EXIT, 0)
    assert containers.folder(FIRST).state() == state


def test_reused_pid_is_no_life(containers: Containers) -> None:
    life = life_of(os.getpid())
    assert life
    assert life.is_alive()
    for other in (life._replace(started=life.started + 1), life._replace(boot="x"), Life(0, 0, life.boot)):
        assert not other.is_alive()


def test_dead_monitor_with_rm_is_removed(containers: Containers) -> None:
    containers.create(a_spec(remove=True))
    containers.folder(FIRST).write_state(State(RUNNING, Life(2**22 + 1, 1, "x"), 7))
    assert containers.all() == []
    assert not os.path.exists(containers.folder(FIRST).path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"id": 1}'])
def test_damage_is_told(containers: Containers, text: str) -> None:
    containers.create(a_spec())
    Path(containers.folder(FIRST).file("spec.json")).write_text(text)
    with pytest.raises(Corrupt, match=r"spec\.json is damaged"):
        containers.find("one")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"status": 1, "monitor": 2, "ports": 3}', "nonsense", '{"id": 1}']
)
def test_lost_state_is_an_end_nobody_saw(containers: Containers, text: str) -> None:
    containers.create(a_spec())
    Path(containers.folder(FIRST).file("state.json")).write_text(text)
    assert containers.find("one").state.status == EXITED
    assert containers.folder(FIRST).state().exit_code == UNKNOWN_EXIT


def test_images_in_use(containers: Containers, store: Store) -> None:
    containers.create(a_spec())
    assert [item.spec.name for item in images_in_use(store)["sha256:" + "1" * 64]] == ["one"]  # type: ignore[index]


def test_what_a_kill_left_is_swept(containers: Containers) -> None:
    fresh, old = Path(containers.folder(FIRST).path), Path(containers.folder(SECOND).path)
    for folder in (fresh, old):
        (folder / "root" / "upper").mkdir(parents=True)
    os.utime(old, (0, 0))
    assert containers.all() == []
    assert fresh.exists()
    assert not old.exists()


def test_random_names() -> None:
    assert len({random_name(lambda _name: False) for _ in range(50)}) > 40
    taken: list[str] = []

    def is_taken(name: str) -> bool:
        taken.append(name)
        return len(taken) < 12

    assert random_name(is_taken)[-1].isdigit()
