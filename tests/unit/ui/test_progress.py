"""Progress in each of its forms. `tty` runs on a real pseudo terminal."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from wherry.base.errors import UsageError
from wherry.base.events import Cached, Done, Emit, Failed, Note, Output, Started, Summary, Transfer
from wherry.ui.progress import display


def plain(*events: object) -> str:
    stream = io.StringIO()
    with display("plain", stream) as emit:
        for event in events:
            emit(event)  # type: ignore[arg-type]
    return stream.getvalue()


def test_plain_is_buildkit_s() -> None:
    text = plain(
        Cached(1, "[1/3] FROM busybox"),
        Started(2, "[2/3] RUN make", 10.0),
        Output(2, 1, b"hel", 10.1),
        Output(2, 1, b"lo\nwor", 10.4116),
        Output(2, 1, b"ld\n", 22.5),
        Output(2, 1, b"late\n", 150.0),
        Done(2, 140.26),
        Started(3, "[3/3] RUN false", 11.0),
        Failed(3, "exit code: 1"),
    )
    assert text == (
        "#1 [1/3] FROM busybox\n"
        "#1 CACHED\n"
        "\n"
        "#2 [2/3] RUN make\n"
        "#2 0.412 hello\n"
        "#2 12.50 world\n"
        "#2 140.0 late\n"
        "#2 DONE 140.3s\n"
        "\n"
        "#3 [3/3] RUN false\n"
        "#3 ERROR: exit code: 1\n"
        "\n"
    )


def test_one_number_for_one_thing_after_the_other() -> None:
    """Before the steps, base images and the context are fetched one by one."""
    text = plain(
        Started(0, "[internal] pull a", 1.0),
        Done(0, 0.5),
        Started(0, "[internal] pull b", 2.0),
        Output(0, 1, b"half\n", 2.5),
        Done(0, 1.0),
    )
    assert text == (
        "#0 [internal] pull a\n#0 DONE 0.5s\n\n#0 [internal] pull b\n#0 0.500 half\n#0 DONE 1.0s\n\n"
    )


def test_plain_prints_the_reason_of_a_reuse() -> None:
    assert plain(Cached(4, "RUN x", "REUSED", "nothing it read changed")).splitlines()[1] == (
        "#4 REUSED nothing it read changed"
    )


def test_an_unfinished_line_is_printed_at_the_end_of_the_step() -> None:
    text = plain(Started(1, "RUN x", 0.0), Output(1, 1, b"no line end", 0.0), Done(1, 0.0))
    assert re.fullmatch(r"#1 RUN x\n#1 [\d.]+ no line end\n#1 DONE 0.0s\n\n", text)


def test_what_was_not_finished_is_canceled() -> None:
    assert plain(Started(1, "RUN x", 0.0)) == "#1 RUN x\n#1 CANCELED\n\n"


def test_a_line_shows_what_a_terminal_would_have_shown() -> None:
    text = plain(Started(1, "RUN x", 0.0), Output(1, 1, b"10%\r50%\r\x1b[32m100%\x1b[0m\r\n\x07\xff\n", 0.0))
    assert text.splitlines()[1:3] == ["#1 0.000 100%", "#1 0.000 �"]


def test_output_of_parallel_steps_waits_for_its_turn() -> None:
    text = plain(
        Started(1, "RUN a", 0.0),
        Started(2, "RUN b", 0.0),
        Output(1, 1, b"a1\n", 0.0),
        Output(2, 1, b"b1\n", 0.0),
        Output(1, 1, b"a2\n", 0.0),
        Output(2, 1, b"b2\n", 0.0),
        Done(1, 0.0),
        Output(2, 1, b"b3\n", 0.0),
        Done(2, 0.0),
    )
    assert [line.split()[-1] for line in text.splitlines() if " 0.000 " in line] == [
        "a1",
        "a2",
        "b1",
        "b2",
        "b3",
    ]
    assert text.count("#2 RUN b") == 1


def test_a_step_that_says_nothing_for_long_is_interrupted() -> None:
    stream = io.StringIO()
    with display("plain", stream) as emit:
        emit(Started(1, "RUN sleep", 0.0))
        emit(Cached(2, "RUN b"))
        _until(lambda: "CACHED" in stream.getvalue())
        emit(Output(1, 1, b"awake\n", 0.0))
        emit(Done(1, 2.0))
    assert stream.getvalue() == (
        "#1 RUN sleep\n#1 ...\n\n#2 RUN b\n#2 CACHED\n\n#1 RUN sleep\n#1 0.000 awake\n#1 DONE 2.0s\n\n"
    )


def test_lines_of_threads_never_mix() -> None:
    stream = io.StringIO()

    def work(vertex: int, emit: Emit) -> None:
        emit(Started(vertex, f"RUN {vertex}", 0.0))
        for number in range(200):
            emit(Output(vertex, 1, f"v{vertex} n{number}\nv{vertex}".encode(), 0.0))
            emit(Output(vertex, 1, f" m{number}\n".encode(), 0.0))
        emit(Done(vertex, 0.0))

    with display("plain", stream) as emit:
        threads = [threading.Thread(target=work, args=(vertex, emit)) for vertex in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for vertex in range(1, 5):
        said = re.findall(rf"^#{vertex} 0\.000 (.*)$", stream.getvalue(), re.MULTILINE)
        assert said == [f"v{vertex} {kind}{number}" for number in range(200) for kind in "nm"]


def test_transfers_are_told_once_a_second_and_when_complete() -> None:
    events = [Transfer(1, "layer", done, 1000) for done in range(0, 1001, 10)]
    lines = plain(Started(1, "pull", 0.0), *events, events[-1], Done(1, 1.0)).splitlines()
    assert lines == ["#1 pull", "#1 layer 1.00kB / 1.00kB 0.0s done", "#1 DONE 1.0s", ""]


def test_notes() -> None:
    assert plain(Note("warning", "careful"), Note("info", "fine")) == "WARNING: careful\nfine\n"


def test_rawjson_is_one_object_a_line_and_loses_no_byte() -> None:
    stream = io.StringIO()
    with display("rawjson", stream) as emit:
        emit(Started(1, "RUN x", 1.5))
        emit(Output(1, 2, b"\xff\n", 2.0))
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first == {"event": "started", "vertex": 1, "name": "RUN x", "time": 1.5}
    assert (second["event"], base64.b64decode(second["data"])) == ("output", b"\xff\n")


def test_plain_shows_a_summary_line_by_line() -> None:
    text = plain(Cached(1, "FROM x"), Summary(("1 warning found:", "- Rule: \x1b[2Jwhy\nnot")))
    assert text == "#1 FROM x\n#1 CACHED\n\n\n 1 warning found:\n - Rule: why not\n"


def test_rawjson_has_a_summary_as_lines() -> None:
    stream = io.StringIO()
    with display("rawjson", stream) as emit:
        emit(Summary(("1 warning found:", "- Rule: why")))
    assert json.loads(stream.getvalue()) == {"event": "summary", "lines": ["1 warning found:", "- Rule: why"]}


def test_quiet_says_nothing() -> None:
    stream = io.StringIO()
    with display("quiet", stream) as emit:
        emit(Cached(1, "x"))
    assert stream.getvalue() == ""


def test_auto_is_plain_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with display("auto", stream) as emit:
        emit(Cached(1, "x"))
    assert stream.getvalue().startswith("#1 x\n")


@pytest.mark.parametrize("mode", ["tty", "nonsense"])
def test_a_mode_that_cannot_be_is_refused(mode: str) -> None:
    with pytest.raises(UsageError) as caught:
        display(mode, io.StringIO())
    assert mode in caught.value.message


NOTHING_TO_DO = """
for number in range(1, 4):
    emit(Cached(number, f"[{number}/3] RUN x"))
"""
WORK = """
emit(Started(1, "[1/2] RUN make", time.monotonic()))
for number in range(12):
    emit(Output(1, 1, f"line {number} \\x1b[2J漢字\\n".encode(), time.monotonic()))
emit(Note("warning", "careful"))
time.sleep(1)
emit(Done(1, 1.0))
emit(Started(2, "[2/2] RUN false", time.monotonic()))
emit(Failed(2, "exit code: 1"))
"""
ONE_THREAD = """
import os
def threads():
    time.sleep(0.05)  # a thread that was joined takes a moment to leave the kernel
    return len(os.listdir("/proc/self/task"))
assert threads() == 1
emit(Cached(1, "FROM x"))
assert threads() == 1
emit(Started(2, "FROM y", time.monotonic()))
time.sleep(0.35)
assert threads() == 2
emit(Done(2, 0.4))
assert threads() == 1
emit(Started(3, "RUN z", time.monotonic()))
time.sleep(0.2)
emit(Done(3, 0.2))
"""
IN_THE_MIDDLE = """
emit(Started(1, "[1/2] RUN sleep", time.monotonic()))
time.sleep(0.5)
raise KeyboardInterrupt
"""


def on_a_terminal(script: str, **environment: str) -> str:
    """What a program that shows `script`'s events writes to a terminal of 80 columns."""
    program = (
        "import sys, time\nfrom wherry.base.events import *\nfrom wherry.ui.progress import display\n"
        "try:\n  with display('auto', sys.stderr) as emit:\n"
        + "".join(f"    {line}\n" for line in script.strip().splitlines())
        + "except KeyboardInterrupt: pass\n"
        + "print('RICH' if 'rich' in sys.modules else 'LEAN', file=sys.stderr)\n"
    )
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=follower,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"} | environment,
    )
    os.close(follower)
    text = b"".join(_read_all(leader)).decode()
    assert process.wait() == 0, text
    return text


def test_on_a_terminal_a_build_with_nothing_to_do_prints_its_lines_and_imports_no_rich() -> None:
    lines = on_a_terminal(NOTHING_TO_DO, NO_COLOR="1").splitlines()
    assert [line.split("   ")[0] for line in lines[:3]] == [
        f" => CACHED [{number}/3] RUN x" for number in (1, 2, 3)
    ]
    assert re.fullmatch(r"\[\+\] Building 0\.\ds \(3/3\) FINISHED", lines[3])
    assert lines[4:] == ["LEAN"]


def test_on_a_terminal_steps_are_shown_while_they_run_and_kept_when_they_end() -> None:
    text = on_a_terminal(WORK)
    seen = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)
    assert " => => # line 11 漢字" in seen
    assert "line 2 " not in seen
    assert re.search(r"\[\+\] Building \d\.\ds \(0/1\)", seen)
    end = seen[seen.rindex(" => [1/2] RUN make") :].split("\r\n")
    assert re.fullmatch(r" => \[1/2\] RUN make +1\.0s", end[0])
    assert end[1].startswith(" => ERROR [2/2] RUN false  ")
    assert re.fullmatch(r"\[\+\] Building \d\.\ds \(2/2\) FINISHED", end[2])
    assert "\x1b[2J" not in text
    assert seen.count("WARNING: careful") == 1
    assert "RICH" in seen
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown again"


def test_on_a_terminal_an_interrupted_build_leaves_it_in_order() -> None:
    text = on_a_terminal(IN_THE_MIDDLE, NO_COLOR="1")
    assert " => CANCELED [1/2] RUN sleep" in text
    assert "FINISHED" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_on_a_terminal_a_summary_stands_below_the_total() -> None:
    script = 'emit(Summary(("1 warning found:", "- Rule: \\x1b[2Jwhy")))\n' + NOTHING_TO_DO
    lines = on_a_terminal(script, NO_COLOR="1").splitlines()
    assert re.fullmatch(r"\[\+\] Building 0\.\ds \(3/3\) FINISHED", lines[3])
    assert lines[4:7] == ["", " 1 warning found:", " - Rule: why"]
    assert "\x1b[33m 1 warning found:\x1b[0m" in on_a_terminal(script)


def test_there_is_no_other_thread_while_nothing_runs() -> None:
    text = on_a_terminal(ONE_THREAD, NO_COLOR="1")
    assert re.search(r"Building 0\.\ds \(3/3\) FINISHED", text)
    assert text.count("FROM y") >= 2


def test_a_dumb_terminal_gets_plain_lines() -> None:
    assert on_a_terminal(NOTHING_TO_DO, TERM="dumb").startswith("#1 [1/3] RUN x\r\n#1 CACHED")


def _read_all(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # EIO: the other side is closed
            data = b""
        if not data:
            os.close(descriptor)
            return
        yield data


def _until(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
