"""What /proc says of processes, and the columns in which `top` shows it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from wherry.base.errors import Unsupported, UsageError
from wherry.container.processes import columns, processes
from wherry.container.processes.members import members


def test_a_process_is_read_as_it_is() -> None:
    words = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(1000)", "two words", ""]
    begun = time.time()
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"up\n"
        found = processes.read(child.pid)
        child.kill()
    assert found
    assert (found.pid, found.parent, found.uid, found.gid) == (
        child.pid,
        os.getpid(),
        os.geteuid(),
        os.getegid(),
    )
    assert list(found.words)[:4] == words[:4]
    assert found.state in "SRD"
    assert abs(found.started - begun) < 600
    assert found.cpu < 600
    assert found.size > found.resident > processes.memory(found) // 2 > 0
    assert found.threads == 1
    assert processes.read(child.pid) is None


def test_ids_of_another_user_namespace() -> None:
    mapping = "         0       1000          1\n         1     200000      65536\n"
    assert [processes.inside(number, mapping) for number in (1000, 200000, 200999, 5)] == [0, 1, 1000, 5]


def test_members_are_those_below_that_are_as_deep() -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait"], stdout=subprocess.PIPE
    ) as shell:
        assert shell.stdout
        shell.stdout.readline()
        found = members(os.getpid(), shell.pid)
        assert found[0] == shell.pid
        children = [pid for pid in found if (one := processes.read(pid)) and one.parent == shell.pid]
        assert len(children) == 2
        shell.kill()
        for child in children:
            os.kill(child, 9)
    assert shell.pid not in members(os.getpid(), os.getpid())


@pytest.mark.parametrize(
    ("words", "headers"),
    [
        ("", "UID PID PPID C STIME TTY TIME CMD"),
        ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
        ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("-o pid,args", "PID COMMAND"),
        ("-eo pid,comm", "PID COMMAND"),
        ("-opid -o user", "PID USER"),
    ],
)
def test_columns(words: str, headers: str) -> None:
    assert " ".join(column.header for column in columns.parse(words.split())) == headers


def test_columns_that_are_none() -> None:
    with pytest.raises(Unsupported, match="'-z'"):
        columns.parse(["-z"])
    with pytest.raises(Unsupported, match="'frob'"):
        columns.parse(["-o", "pid,frob"])
    with pytest.raises(UsageError):
        columns.parse(["-o"])


def test_what_columns_say() -> None:
    one = processes.Process(
        pid=12, parent=1, uid=0, gid=0, state="S", name="job", words=("job", "-x"), terminal="pts/3",
        started=1_000_000.0, cpu=3725.5, waited_for=0.0, size=4096, resident=2048,
        threads=2, nice=5, priority=25, session=12, group=12, foreground=12,
    )  # fmt: skip
    chosen = columns.parse(
        ["-o", "pid,ppid,c,%cpu,%mem,vsz,rss,tty,stat,time,bsdtime,etime,nlwp,ni,pri,args,comm"]
    )
    now = columns.Now(1_000_000.0 + 90_061, 4096)
    (row,) = columns.rows([one], chosen, now)
    assert row == [
        "12", "1", "4", "4.1", "50.0", "4", "2", "pts/3", "SNsl+",
        "01:02:05", "62:05", "1-01:01:01", "2", "5", "14", "job -x", "job",
    ]  # fmt: skip
