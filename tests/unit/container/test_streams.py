"""The streams of a process whose other ends the process itself may open."""

from __future__ import annotations

import os

import pytest

from wherry.container.attach.streams import Streams


@pytest.mark.parametrize("terminal", [False, True])
def test_what_somebody_else_has_read_is_not_waited_for(terminal: bool) -> None:
    streams = Streams(terminal, False)
    console, theirs = os.openpty() if terminal else (-1, os.dup(streams.inner[1]))
    streams.begin(console)
    (descriptor, *others) = [number for number, stream in streams.outputs.items() if stream == 1]
    assert not others
    assert not os.get_blocking(descriptor)
    assert streams.read(descriptor) is None
    os.write(theirs, b"x")
    assert streams.read(descriptor) == b"x"
    assert streams.read(descriptor) is None
    os.close(theirs)
    assert streams.read(descriptor) == b""
    for number in list(streams.outputs):
        streams.close_output(number)
