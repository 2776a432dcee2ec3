"""What mmdebstrap's last words are turned into; they are those of real failed runs."""

from __future__ import annotations

import pytest

from wherry.base.errors import WherryError
from wherry.bootstrap import mmdebstrap

UNREACHABLE = """\
Err:1 http://nosuch.invalid/debian bookworm InRelease
  Could not resolve 'nosuch.invalid'
Reading package lists...
E: Failed to fetch http://nosuch.invalid/debian/dists/bookworm/InRelease  Could not resolve 'nosuch.invalid'
E: Some index files failed to download. They have been ignored, or old ones used instead.
E: mmdebstrap failed to run
"""
NO_PACKAGE = """\
Building dependency tree...
E: Unable to locate package nosuchpkg
E: mmdebstrap failed to run
"""
NO_SUITE = """\
Err:4 http://host/debian plucky Release
  404  Not Found [IP: 10.0.0.1 80]
E: The repository 'http://host/debian plucky Release' does not have a Release file.
E: mmdebstrap failed to run
"""
UNSIGNED = """\
W: GPG error: http://host/debian bookworm InRelease: The following signatures couldn't be verified because \
the public key is not available: NO_PUBKEY 0E98404D386FA1D9
E: The repository 'http://host/debian bookworm InRelease' is not signed.
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (UNREACHABLE, "cannot be reached: Could not resolve 'nosuch.invalid'"),
        (NO_PACKAGE, "no package nosuchpkg"),
        (NO_SUITE, "does not have that suite"),
        (UNSIGNED, "lacks its key"),
        ("cp: error writing 'x': No space left on device\n", "no space left"),
    ],
)
def test_a_failure_is_one_sentence_with_a_hint(text: str, says: str) -> None:
    error = mmdebstrap.failure(text.splitlines())
    assert says in error.message
    assert "\n" not in error.message
    assert error.hint


def test_an_unknown_failure_shows_the_last_lines() -> None:
    error = mmdebstrap.failure([f"line {number}" for number in range(100)])
    assert error.excerpt.splitlines()[-1] == "line 99"


def test_logins_are_in_no_message() -> None:
    assert mmdebstrap.without_login("E: Failed http://me:pass@host/x a@b") == "E: Failed http://host/x a@b"


def test_a_stream_that_breaks_off_is_never_taken_for_whole() -> None:
    with (
        mmdebstrap.Run(["sh", "-c", "printf half; echo E: it broke >&2; exit 3"], lambda _: None) as run,
        pytest.raises(WherryError) as caught,
    ):
        assert run.read(4) == b"half"
        run.read(1)
    assert "it broke" in caught.value.excerpt


def test_leaving_ends_the_process() -> None:
    with mmdebstrap.Run(["sleep", "1000"], lambda _: None) as run:
        pass
    assert run._process.returncode != 0
