"""What goes out for one blob: nothing that has arrived is sent again, where the registry can tell."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterator

import pytest

from support import remote
from wherry.base.errors import WherryError
from wherry.oci.digest import Digest
from wherry.registry.access import Access
from wherry.registry.client import Client
from wherry.registry.transport import Retries
from wherry.registry.upload import WHOLE
from wherry.testing.faults import Kind
from wherry.testing.registry import Answer, Cut, Fault, Lost, Registry, Relabel

QUICK = Retries(attempts=3, first=0.001)
LARGE = random.Random(3).randbytes(5 * WHOLE)
HALF = 3 * WHOLE + 5


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


def upload(server: Registry, data: bytes = LARGE) -> list[tuple[str, int, str]]:
    """The requests that had bodies: method, bytes that came, range. The blob is there afterwards."""
    digest = Digest(remote.sha256(data))
    told: list[int] = []
    with Client(server.reference("app:v1"), True, access=Access(retries=QUICK)) as client:
        client.upload(digest, len(data), lambda: io.BytesIO(data), told.append)
    assert server.blobs["app", digest] == data
    assert max(told) == len(data)
    return [
        (item.method, item.received, item.headers.get("Content-Range", ""))
        for item in server.log
        if item.method in ("PATCH", "PUT")
    ]


def test_a_small_blob_goes_in_one_request(server: Registry) -> None:
    assert upload(server, LARGE[:WHOLE]) == [("PUT", WHOLE, "")]


def test_a_large_one_goes_as_dockers_do(server: Registry) -> None:
    assert upload(server) == [("PATCH", len(LARGE), ""), ("PUT", 0, "")]


@pytest.mark.parametrize("breaks", [1, 4])
def test_what_has_arrived_is_not_sent_again(server: Registry, breaks: int) -> None:
    """More breaks than attempts: but each of them made progress."""
    data = random.Random(4).randbytes(8 << 20)
    piece = (1 << 20) + 5
    server.faults.append(Fault("PATCH", "/uploads/", Cut(piece), times=breaks))
    sent = upload(server, data)
    starts = [piece * number for number in range(breaks + 1)]
    assert [item[2] for item in sent[:-1]] == ["", *(f"{start}-{len(data) - 1}" for start in starts[1:])]
    assert sum(item[1] for item in sent) == len(data)
    assert len(server.asked("POST", "/uploads/")) == 1


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("GET", Answer(404)),
        ("GET", Answer(500)),
        ("GET", Answer(204)),
        *(
            ("GET", Relabel((("Range", text),)))
            for text in ("0-0", "5-9", "0-99999999999", "x", "0-" + "9" * 99)
        ),
        ("GET", Lost()),
    ],
)
def test_an_upload_that_is_lost_begins_again(server: Registry, method: str, what: Kind) -> None:
    """Docker's registry before 3 answers 404 when it is asked for one that broke within a request."""
    server.faults += [Fault("PATCH", "/uploads/", Cut(HALF)), Fault(method, "/uploads/", what)]
    assert upload(server)[-2:] == [("PATCH", len(LARGE), ""), ("PUT", 0, "")]
    assert len(server.asked("POST", "/uploads/")) == 2


def test_an_upload_that_was_put_together_wrongly_begins_again(server: Registry) -> None:
    """A registry that believes to have less than it has: the digest tells, and it is not asked again."""
    server.faults += [
        Fault("PATCH", "/uploads/", Cut(HALF), times=2),
        Fault("PUT", "/uploads/", Answer(400, (), b'{"errors":[{"code":"DIGEST_INVALID"}]}')),
    ]
    assert upload(server)[-2:] == [("PATCH", len(LARGE), ""), ("PUT", 0, "")]


def test_a_registry_that_says_it_took_less_is_sent_the_rest(server: Registry) -> None:
    """It refuses that, as it has more, and is asked."""
    server.faults.append(Fault("PATCH", "/uploads/", Relabel((("Range", f"0-{HALF - 1}"),))))
    sent = upload(server)
    assert sent[1] == ("PATCH", len(LARGE) - HALF, f"{HALF}-{len(LARGE) - 1}")


def test_a_registry_that_takes_no_pieces_gets_it_whole(server: Registry) -> None:
    server.chunks = False
    assert upload(server)[-1] == ("PUT", len(LARGE), "")


@pytest.mark.parametrize("data", [LARGE, LARGE[:WHOLE]])
def test_a_blob_whose_answer_was_lost_is_not_sent_again(server: Registry, data: bytes) -> None:
    server.faults.append(Fault("PUT", "/uploads/", Lost(done=True)))
    assert sum(received for _, received, _ in upload(server, data)) == len(data)


def test_only_the_end_is_told_again(server: Registry) -> None:
    server.faults.append(Fault("PUT", "/uploads/", Answer(503)))
    assert upload(server) == [("PATCH", len(LARGE), ""), ("PUT", 0, ""), ("PUT", 0, "")]


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_busy_registry_is_left_alone_as_long_as_it_says(server: Registry, method: str) -> None:
    server.faults.append(Fault(method, "/uploads/", Answer(429, (("Retry-After", "1"),))))
    began = time.monotonic()
    upload(server)
    assert time.monotonic() - began >= 1


def test_a_registry_that_breaks_each_time(server: Registry) -> None:
    server.faults.append(Fault("PATCH", "/uploads/", Cut(HALF, kept=False), times=1000))
    with pytest.raises(WherryError, match="broke"):
        upload(server)
    assert len(server.asked("PATCH", "")) == QUICK.attempts


def test_a_page_that_takes_a_piece_is_no_registry(server: Registry) -> None:
    """A proxy's page comes with 200, which no registry answers to a piece (distribution-spec: 202)."""
    page = Answer(200, (("Content-Type", "text/html"),), b"<html>Sign in</html>")
    server.faults.append(Fault("PATCH", "/uploads/", page))
    with pytest.raises(WherryError, match="answered 200"):
        upload(server)
