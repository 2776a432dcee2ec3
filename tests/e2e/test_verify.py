"""`wherry build --verify`: steps that give two results are named, with what differs, and nothing is kept of
their second execution."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support import busybox, programs
from support.cli import Result, Wherry, write_files
from support.repositories import files_of, serving
from wherry.store.store import Store

Context = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def verify(wherry: Wherry, context: Context) -> Callable[..., Result]:
    programs.require("root")
    busybox.put(wherry.root, "busybox")

    def verify(lines: str, *flags: str, **files: str) -> Result:
        lines = lines.replace("$UUID", "/proc/sys/kernel/random/uuid")
        folder = context({"Dockerfile": f"FROM busybox\n{lines}", **files})
        return wherry("build", "--verify", "--progress", "plain", "-t", "app", *flags, folder)

    return verify


Verify = Callable[..., Result]


def excerpt(result: Result) -> list[str]:
    assert result.code == 2, result.err
    return result.err.split("--------------------\n")[1].splitlines()


def test_a_reproducible_build_says_so(wherry: Wherry, verify: Verify) -> None:
    result = verify("RUN echo x > /x\nCOPY a /a\nWORKDIR /srv\n", a="a")
    assert result.code == 0, result.err
    assert "reproducible: 3 steps gave the same twice\n" in result.err
    assert "[verify 2/4] RUN echo x > /x" in result.err
    assert "FROM busybox\n#1 CACHED" in result.err and "verify 1/4" not in result.err
    assert "app" in wherry.ok("images")


def test_what_differs_is_named(wherry: Wherry, verify: Verify) -> None:
    result = verify(
        "RUN echo kept > /kept; date +%s > /now\n"
        "COPY a /a\n"
        "RUN cat $UUID > /id; gzip -c /id > /id.gz\\\n"
        "  && mkdir -p /d/e; touch /d/e/$(cat /id)\n",
        a="a",
    )
    lines = excerpt(result)
    assert "error: not reproducible: 2 of 3 steps gave something else the second time" in result.err
    assert lines[0] == "[2/4] RUN echo kept > /kept; date +%s > /now"
    assert lines[1].startswith('  /now: content, line 1: "1')
    assert lines[2].startswith("      the time is written into it")
    assert lines[4].startswith("[4/4] RUN")
    assert {line.rpartition(": ")[2] for line in lines if line.startswith("  /d/e/")} == {
        "only the first time",
        "only the second time",
    }
    assert any(line.startswith('  /id: content, line 1: "') for line in lines)
    assert any(line.startswith('  /id.gz: content, unpacked, line 1: "') for line in lines)
    assert not any("kept" in line or "/a:" in line for line in lines[1:])
    assert wherry.ok("images", "-q").split() == wherry.ok("images", "-q", "busybox").split()


def test_kinds_modes_owners_and_links_are_told(verify: Verify) -> None:
    result = verify(
        "RUN --mount=type=cache,target=/c touch /mode /owner /kind; ln -s one /link; \\\n"
        "  if test -e /c/x; then chmod 600 /mode; chown 1:2 /owner; rm /kind; mkdir /kind; \\\n"
        "  ln -sf two /link; rm /bin/vi; fi; touch /c/x\n"
    )
    assert excerpt(result)[1:] == [
        "  /bin: only the second time",
        "  /kind: a file, then a folder",
        "  /link: link to one, then two",
        "  /mode: mode 644, then 600",
        "  /owner: owner 0:0, then 1:2",
    ]


def test_processes_have_other_numbers_and_a_processor_less(verify: Verify) -> None:
    result = verify("RUN sh -c 'echo $$ > /pid; true'; nproc > /processors\n")
    lines = excerpt(result)
    assert lines[1].startswith('  /pid: content, line 1: "2", then "2') or '", then "2' in lines[1]
    assert lines[2] == '  /processors: content, line 1: "2", then "1"' or len(lines) == 2


def test_results_from_the_cache_are_verified_too(verify: Verify) -> None:
    """The step is made once, and compared with what the cache has."""
    lines = "RUN date > /now\n"
    assert verify(lines).code == 2
    result = verify(lines)
    assert "#2 [2/2] RUN date > /now\n#2 CACHED" in result.err
    assert excerpt(result)[1].startswith("  /now: content")


def test_the_cache_keeps_the_first_result(wherry: Wherry, verify: Verify, context: Context) -> None:
    lines = "RUN cat /proc/sys/kernel/random/uuid > /now\nRUN cp /now /copy\n"
    assert verify(lines).code == 2
    with Store.open(str(wherry.root)) as store:
        kept = {record.layer for record in store.records.all()}
    assert verify(lines).code == 2
    with Store.open(str(wherry.root)) as store:
        assert {record.layer for record in store.records.all()} == kept
    result = wherry("build", "--progress", "plain", context({"Dockerfile": f"FROM busybox\n{lines}"}))
    assert "2 steps: all reused" in result.err


def test_the_copy_of_what_differs_does_not_differ(verify: Verify) -> None:
    """Each step stands on what the ones below it gave the first time."""
    lines = excerpt(verify("RUN cat $UUID > /now\nRUN cp /now /copy\n"))
    assert [line[:9] for line in lines if line.startswith("[")] == ["[2/3] RUN"]


def test_a_step_that_fails_the_second_time(verify: Verify) -> None:
    result = verify("RUN --mount=type=cache,target=/c test ! -e /c/x && touch /c/x\n")
    assert result.code == 1
    assert "it succeeded the first time" in result.err


def test_what_not_everybody_may_read_is_not_quoted(verify: Verify) -> None:
    lines = excerpt(verify("RUN umask 077; cat $UUID > /key; cat $UUID > /open; chmod 644 /open\n"))
    assert lines[1] == "  /key: content, line 1"
    assert lines[2].startswith('  /open: content, line 1: "')


def test_a_step_with_a_secret_is_not_quoted(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "swordfish")
    result = verify(
        "RUN --mount=type=secret,id=w,env=W echo $(cat $UUID) $W > /x\n",
        "--secret",
        "id=w,env=WORD",
    )
    assert excerpt(result)[1] == "  /x: content, line 1"
    assert "swordfish" not in result.err


def test_many_paths_are_counted(verify: Verify) -> None:
    lines = excerpt(verify("RUN R=$UUID; for i in $(seq 100 130); do cat $R > /$i; done\n"))
    assert len([line for line in lines if line.startswith("  /")]) == 20
    assert lines[-1] == "  ... and 11 more"


def test_stages_are_verified_side_by_side(verify: Verify) -> None:
    result = verify(
        "RUN echo a > /a\nFROM busybox AS other\nRUN cat $UUID > /b\nFROM scratch\nCOPY --from=0 /a /\n"
        "COPY --from=other /b /\n"
    )
    assert [line[:11] for line in excerpt(result) if line.startswith("[")] == ["[other 2/2]"]


def test_what_is_added_from_elsewhere_is_made_again(verify: Verify, tmp_path: Path) -> None:
    site = write_files(tmp_path / "site", {"a.txt": "text\n"})
    with serving(files_of(site)) as address:
        lines = f"ADD {address}/a.txt /\nRUN --mount=type=bind,target=/c cat /c/a /a.txt > /both\n"
        for _ in range(2):
            result = verify(lines, a="a")
            assert result.code == 0, result.err
            assert "reproducible: 2 steps gave the same twice" in result.err


def test_times_of_their_own_differ(verify: Verify) -> None:
    """With --timestamps=keep the time of every file that a RUN writes is one of its results."""
    lines = excerpt(verify("RUN touch /x\n", "--timestamps=keep"))
    assert lines[1].startswith("  /x: time 20")
    assert "--timestamps=keep" in lines[2]


def test_processors_may_be_limited(verify: Verify) -> None:
    """Where the one that is left out is the only one: nothing is left to leave out."""
    first = min(os.sched_getaffinity(0))
    result = verify("RUN nproc > /n\n", f"--cpuset-cpus={first}")
    if "--cpuset-cpus" not in result.err:  # this machine can limit processors
        assert result.code == 0, result.err


def test_a_carried_cache_is_refused(verify: Verify, tmp_path: Path) -> None:
    result = verify("RUN true\n", f"--cache-from=type=local,src={tmp_path}")
    assert result.code == 125
    assert "--cache-from" in result.err
