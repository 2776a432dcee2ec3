"""Blobs that came in part: who writes them, what is believed of them, who deletes them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from wherry.base.errors import Corrupt
from wherry.oci import digest as digests
from wherry.store.gc import Scope, collect
from wherry.store.partials import WORTH_KEEPING
from wherry.store.store import Store

DATA = os.urandom(2 * WORTH_KEEPING)
DIGEST = digests.of(DATA)
HALF = len(DATA) // 2 + 7

_WRITER = """
import sys, time
from wherry.store.store import Store
store = Store.open(sys.argv[1])
with store.partials.open(sys.argv[2]) as partial:
    partial.write(sys.stdin.buffer.read())
    print("written", flush=True)
    time.sleep(600)
"""


def leave(store: Store, data: bytes) -> None:
    with store.partials.open(DIGEST) as partial:
        assert partial is not None
        partial.write(data)


def finish(store: Store) -> int:
    """Complete the blob; how many bytes there were."""
    with store.partials.open(DIGEST) as partial:
        assert partial is not None
        there = partial.take_up(len(DATA))
        partial.write(DATA[there:])
        partial.commit()
        return there


def test_what_was_left_is_taken_up(store: Store) -> None:
    leave(store, DATA[:HALF])
    assert not store.blobs.has(DIGEST)
    assert finish(store) == HALF
    assert Path(store.blobs.path(DIGEST)).read_bytes() == DATA
    assert store.partials.paths() == []


def test_little_is_not_kept(store: Store) -> None:
    leave(store, DATA[: WORTH_KEEPING - 1])
    assert store.partials.paths() == []


@pytest.mark.parametrize("left", [b"x" * HALF, DATA + b"x"])
def test_what_was_left_is_not_believed(store: Store, left: bytes) -> None:
    leave(store, left)
    with store.partials.open(DIGEST) as partial:
        assert partial is not None
        there = partial.take_up(len(DATA))
        assert there in (HALF, 0)
        partial.write(DATA[there:])
        if there:
            with pytest.raises(Corrupt, match="as was promised"):
                partial.commit()
            assert not store.blobs.has(DIGEST)
            partial.restart()
            partial.write(DATA)
        partial.commit()
    assert Path(store.blobs.path(DIGEST)).read_bytes() == DATA


def test_what_is_wrong_is_not_kept(store: Store) -> None:
    with pytest.raises(Corrupt), store.partials.open(DIGEST) as partial:
        assert partial is not None
        partial.write(b"x" * len(DATA))
        partial.commit()
    assert store.partials.paths() == []


def test_a_second_writer_waits_and_finds_the_blob(store: Store) -> None:
    """It waits for another thread as for another process: the lock belongs to the open file."""
    waited = threading.Event()
    found: list[object] = []

    def second() -> None:
        with store.partials.open(DIGEST, waited.set) as partial:
            found.append(partial)

    with store.partials.open(DIGEST) as partial:
        assert partial is not None
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(60)
        partial.write(DATA)
        partial.commit()
    thread.join()
    assert found == [None]
    assert store.partials.paths() == []


def test_the_wait_can_be_ended(store: Store) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with store.partials.open(DIGEST), pytest.raises(KeyboardInterrupt), store.partials.open(DIGEST, stop):
        pass


def test_who_waited_for_one_that_gave_up_writes_a_file_of_that_name(store: Store) -> None:
    """The one who gave up deletes the file that the other one has open already."""
    waited = threading.Event()

    def second() -> None:
        with store.partials.open(DIGEST, waited.set) as partial:
            assert partial is not None
            partial.write(DATA)
            partial.commit()

    with store.partials.open(DIGEST):
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(60)
    thread.join()
    assert Path(store.blobs.path(DIGEST)).read_bytes() == DATA


def test_a_killed_writer_leaves_what_it_wrote_and_no_lock(store: Store) -> None:
    command = [sys.executable, "-c", _WRITER, store.root, DIGEST]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(DATA[:HALF])
        writer.stdin.close()
        assert writer.stdout.readline() == b"written\n"
        writer.kill()
    assert finish(store) == HALF


def test_prune_deletes_them(store: Store) -> None:
    leave(store, DATA[:HALF])
    assert collect(store, Scope(until=time.time() - 60)).size == 0
    assert len(store.partials.paths()) == 1
    assert collect(store, Scope()).size >= HALF
    assert store.partials.paths() == []
