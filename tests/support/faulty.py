"""What the tests of faults have in common: the faults of downloads, and what is a clear error."""

from __future__ import annotations

import re
from typing import NamedTuple

from wherry.base.errors import WherryError
from wherry.oci import media
from wherry.registry.transport import Retries
from wherry.testing.faults import Kind
from wherry.testing.registry import Answer, Change, Drip, Drop, Lost, Redirect, Registry, Relabel, Stall

QUICK = Retries(attempts=3, first=0.001, longest=0.01)
PASSES = ""
"""An expectation: the fault is got over."""
ZEROS = "sha256:" + "0" * 64
HTML = (("Content-Type", "text/html"),)


class Row(NamedTuple):
    """A fault, and what the error says when it happens once and when it always happens; PASSES for none."""

    what: Kind
    once: str
    always: str


FAULTS = {
    **{f"status {code}": Row(Answer(code), PASSES, f"answered {code}") for code in (408, 500, 503)},
    "429": Row(Answer(429), PASSES, "limits its requests"),
    "429, seconds": Row(Answer(429, (("Retry-After", "5"),)), PASSES, "limits its requests"),
    "429, a date": Row(
        Answer(429, (("Retry-After", "Wed, 21 Oct 2099 07:28:00 GMT"),)), PASSES, "limits its requests"
    ),
    "429, nonsense": Row(Answer(429, (("Retry-After", "soon\t\x80"),)), PASSES, "limits its requests"),
    "403": Row(Answer(403, (), b'{"errors":[{"code":"DENIED"}]}'), "denies access", "denies access"),
    "404": Row(Answer(404, HTML, b"<html>"), "web page|404", "web page|404"),
    "418": Row(Answer(418, (), b'{"errors":[{"message":"\\u001b[2Jtea\\n"}]}'), "418.*tea", "418.*tea"),
    "401, an unknown scheme": Row(Answer(401, (("WWW-Authenticate", "Magic x"),)), "login", "login"),
    "no body": Row(Answer(200), "bytes|JSON|digest", "bytes|JSON|digest"),
    "204": Row(Answer(204), "204", "204"),
    "206 unasked": Row(Answer(206), "206|was sent|bytes|digest", "206|was sent|bytes|digest"),
    "a web page": Row(Answer(200, HTML, b"<html>Sign in</html>"), "web page|bytes", "web page|bytes"),
    "a web page that says JSON": Row(
        Answer(200, (("Content-Type", media.MANIFEST),), b"<html>Sign in</html>"),
        "web page|bytes",
        "web page|bytes",
    ),
    "17 MiB of JSON": Row(
        Change(lambda body: b" " * (17 << 20) + body), "document of|bytes for", "document of|bytes for"
    ),
    "deep JSON": Row(Change(lambda _: b"[" * 500_000), "digest|bytes", "digest|bytes"),
    "another length": Row(Relabel((("Content-Length", "7"),)), "digest|bytes", "digest|bytes"),
    "a longer length": Row(Relabel((("Content-Length", "9999999"),)), ".|^$", "closed too early|broke|bytes"),
    "no length": Row(Relabel((("Content-Length", ""),)), PASSES, PASSES),
    "no length, and more": Row(
        Change(lambda body: body + b" ", honest=False), "digest|bytes|^$", "digest|bytes|^$"
    ),
    "other bytes": Row(Change(lambda body: body[::-1]), "digest|content", "digest|content"),
    "cut short": Row(Change(lambda body: body[:-1]), "digest|bytes", "digest|bytes"),
    "one more byte": Row(Change(lambda body: body + b" "), "digest|bytes", "digest|bytes"),
    "lost": Row(Lost(), PASSES, "broke"),
    "dropped at once": Row(Drop(0), PASSES, "broke|of .* bytes"),
    "dropped in the middle": Row(Drop(100), PASSES, "broke|of .* bytes"),
    "a drip": Row(Drip(500_000, 0.001), PASSES, PASSES),
    "a pause": Row(Stall(50, 0.05), PASSES, PASSES),
    "a loop": Row(Redirect(), PASSES, "redirects without end"),
    "to nowhere": Row(Answer(302, (("Location", "gopher://x/"),)), "no URL", "no URL"),
    "to another port": Row(Redirect("http://127.0.0.1:1"), PASSES, "cannot reach"),
    "a name for its zeros": Row(
        Relabel((("Docker-Content-Digest", ZEROS),)), "with digest|^$", "with digest|^$"
    ),
    "a name that is none": Row(Relabel((("Docker-Content-Digest", "../../x"),)), PASSES, PASSES),
    "a coding that it has not": Row(Relabel((("Content-Encoding", "gzip"),)), PASSES, PASSES),
}


def reset(server: Registry) -> Registry:
    """A server as if it were new, but for its address: to make one takes longer than most tests."""
    for kept in (server.blobs, server.manifests, server.uploads, server.issued):
        kept.clear()
    server.faults.clear()
    server.log.clear()
    return server


def assert_expected(error: WherryError | None, pattern: str) -> None:
    """That `error` is one sentence for people that names the registry, and says what `pattern` does.

    `^$` in a pattern: it need not fail.
    """
    if error is None:
        assert re.search(pattern, ""), f"it passed, and should have said {pattern!r}"
        return
    assert pattern != PASSES, error
    assert re.search(pattern, error.message), error.message
    text = f"{error.message}\n{error.hint}"
    assert re.search(r"127\.0\.0\.1:\d+", text), text
    assert text.count("\n") == 1
    assert text.replace("\n", "").isprintable()
    assert len(text) < 500
    assert not re.search(r"urllib3|Errno|object at|Traceback|<class|Exception|None", text), text
