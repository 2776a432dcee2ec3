"""The registry that tests speak to does what the distribution-spec says, and fails as it is told.

A fault that does not happen makes the test that relies on it worthless.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import pytest

from support import remote
from wherry.oci import media
from wherry.testing.faults import Kind
from wherry.testing.registry import (
    Answer,
    Before,
    Change,
    Cut,
    Drip,
    Drop,
    Fault,
    Lost,
    Redirect,
    Registry,
    Relabel,
    Stall,
)

DATA = bytes(range(250))
DIGEST = remote.sha256(DATA)


class Got(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


def _ask(server: Registry, method: str, path: str, body: bytes | None = None, **headers: str) -> Got:
    connection = HTTPConnection(server.host, timeout=60)
    try:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        return Got(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def _begin(server: Registry) -> str:
    got = _ask(server, "POST", "/v2/app/blobs/uploads/", b"")
    assert got.status == 202
    return got.headers["Location"]


class TestUploads:
    def test_in_one_piece(self, server: Registry) -> None:
        place = _begin(server)
        assert _ask(server, "PUT", f"{place}&digest={DIGEST}", DATA).status == 201
        assert server.blobs == {("app", DIGEST): DATA}
        assert server.uploads == {}
        assert [item.received for item in server.log] == [0, len(DATA)]

    def test_in_one_request(self, server: Registry) -> None:
        assert _ask(server, "POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", DATA).status == 201
        assert server.blobs == {("app", DIGEST): DATA}

    def test_in_pieces(self, server: Registry) -> None:
        server.smallest_chunk = 100
        place = _begin(server)
        got = _ask(server, "PATCH", place, DATA[:100], Content_Range="0-99")
        assert (got.status, got.headers["Range"]) == (202, "0-99")
        got = _ask(server, "PATCH", place, DATA[150:], Content_Range="150-249")
        assert (got.status, got.headers["Range"]) == (416, "0-99")
        got = _ask(server, "GET", place)
        assert (got.status, got.headers["Range"]) == (204, "0-99")
        assert _ask(server, "PATCH", place, DATA[100:200]).status == 202
        assert _ask(server, "PUT", f"{place}&digest={DIGEST}", DATA[200:]).status == 201
        assert server.blobs == {("app", DIGEST): DATA}

    def test_what_is_said_of_chunks(self, server: Registry) -> None:
        server.smallest_chunk = 1 << 20
        got = _ask(server, "POST", "/v2/app/blobs/uploads/", b"")
        assert got.headers["OCI-Chunk-Min-Length"] == "1048576"
        server.chunks = False
        assert _ask(server, "PATCH", got.headers["Location"], DATA).status == 405

    def test_chunked_coding(self, server: Registry) -> None:
        connection = HTTPConnection(server.host, timeout=60)
        connection.request("PATCH", _begin(server), iter([DATA[:7], DATA[7:]]), encode_chunked=True)
        assert connection.getresponse().headers["Range"] == f"0-{len(DATA) - 1}"
        connection.close()

    def test_cut(self, server: Registry) -> None:
        """What came of a piece stays; a whole blob that broke off is none."""
        place = _begin(server)
        server.faults.append(Fault("PATCH", "/uploads/", Cut(60)))
        with pytest.raises((OSError, HTTPException)):
            _ask(server, "PATCH", place, DATA)
        assert _ask(server, "GET", place).headers["Range"] == "0-59"
        server.faults.append(Fault("PATCH", "/uploads/", Cut(60, kept=False)))
        with pytest.raises((OSError, HTTPException)):
            _ask(server, "PATCH", place, DATA[60:])
        server.faults.append(Fault("PUT", "/uploads/", Cut(20)))
        with pytest.raises((OSError, HTTPException)):
            _ask(server, "PUT", f"{place}&digest={DIGEST}", DATA[60:])
        assert _ask(server, "GET", place).headers["Range"] == "0-79"
        assert server.blobs == {}

    def test_given_up(self, server: Registry) -> None:
        place = _begin(server)
        assert _ask(server, "DELETE", place).status == 204
        for method in ("GET", "PATCH", "PUT"):
            assert _ask(server, method, place, b"").status == 404

    def test_mounted(self, server: Registry) -> None:
        server.add_blob("base", DATA)
        path = f"/v2/app/blobs/uploads/?mount={DIGEST}&from="
        assert _ask(server, "POST", path + "other").status == 202
        assert _ask(server, "POST", path + "base").status == 201
        assert ("app", DIGEST) in server.blobs

    def test_of_other_content(self, server: Registry) -> None:
        place = _begin(server)
        assert _ask(server, "PUT", f"{place}&digest={DIGEST}", b"other").status == 400
        assert server.blobs == {}


class TestManifests:
    def test_only_with_all_that_they_name(self, server: Registry) -> None:
        made = remote.make({"a": b"1"})
        got = _ask(server, "PUT", "/v2/app/manifests/v1", made.manifest, Content_Type=media.MANIFEST)
        assert (got.status, "MANIFEST_BLOB_UNKNOWN" in got.body.decode()) == (400, True)
        for blob in (made.config, *made.layers):
            server.add_blob("app", blob)
        got = _ask(server, "PUT", "/v2/app/manifests/v1", made.manifest, Content_Type=media.MANIFEST)
        assert (got.status, got.headers["Docker-Content-Digest"]) == (201, made.digest)
        for name in ("v1", made.digest):
            got = _ask(server, "GET", f"/v2/app/manifests/{name}")
            assert (got.headers["Content-Type"], got.body) == (media.MANIFEST, made.manifest)
        got = _ask(server, "HEAD", "/v2/app/manifests/v1")
        assert (got.headers["Content-Length"], got.body) == (str(len(made.manifest)), b"")

    def test_deletion(self, server: Registry) -> None:
        digest = server.add_manifest("app", "v1", b"{}", media.MANIFEST)
        server.add_manifest("app", "v2", b"{}", media.MANIFEST)
        assert _ask(server, "DELETE", "/v2/app/manifests/v1").status == 202
        assert server.tags("app") == ["v2"]
        assert _ask(server, "DELETE", f"/v2/app/manifests/{digest}").status == 202
        assert server.manifests == {}
        server.add_blob("app", DATA)
        assert _ask(server, "DELETE", f"/v2/app/blobs/{DIGEST}").status == 202
        assert _ask(server, "DELETE", f"/v2/app/blobs/{DIGEST}").status == 404

    def test_tags_by_pages(self, server: Registry) -> None:
        assert _ask(server, "GET", "/v2/app/tags/list").status == 404
        for tag in ("b", "a", "c"):
            server.add_manifest("app", tag, b"{}", media.MANIFEST)
        assert json.loads(_ask(server, "GET", "/v2/app/tags/list").body)["tags"] == ["a", "b", "c"]
        server.page = 2
        got = _ask(server, "GET", "/v2/app/tags/list?n=100")
        assert got.headers["Link"] == '</v2/app/tags/list?n=2&last=b>; rel="next"'
        got = _ask(server, "GET", "/v2/app/tags/list?n=2&last=b")
        assert (got.headers["Link"], json.loads(got.body)) == (None, {"name": "app", "tags": ["c"]})

    def test_referrers(self, server: Registry) -> None:
        subject = {"mediaType": media.MANIFEST, "digest": DIGEST, "size": 9}
        for kind in ("text/a", "text/b"):
            raw = json.dumps({"subject": subject, "artifactType": kind, "annotations": {"k": kind}}).encode()
            got = _ask(server, "PUT", f"/v2/app/manifests/{remote.sha256(raw)}", raw)
            assert got.headers["OCI-Subject"] == DIGEST
        path = f"/v2/app/referrers/{DIGEST}"
        found = json.loads(_ask(server, "GET", path).body)["manifests"]
        assert {(item["artifactType"], item["annotations"]["k"]) for item in found} == {
            ("text/a", "text/a"),
            ("text/b", "text/b"),
        }
        got = _ask(server, "GET", f"{path}?artifactType=text/a")
        assert got.headers["OCI-Filters-Applied"] == "artifactType"
        assert len(json.loads(got.body)["manifests"]) == 1
        server.page = 1
        got = _ask(server, "GET", path)
        assert got.headers["Link"] == f'<{path}?start=1>; rel="next"'
        assert len(json.loads(_ask(server, "GET", f"{path}?start=1").body)["manifests"]) == 1
        server.referrers = False
        assert _ask(server, "GET", path).status == 404


class TestFaults:
    path = f"/v2/app/blobs/{DIGEST}"

    @pytest.fixture(autouse=True)
    def _there(self, server: Registry) -> None:
        server.add_blob("app", DATA)

    def _fail(self, server: Registry, what: Kind, **more: int) -> None:
        server.faults.append(Fault("GET", "/blobs/", what, **more))

    def test_when(self, server: Registry) -> None:
        self._fail(server, Answer(500), times=2, skip=1)
        assert [_ask(server, "GET", self.path).status for _ in range(4)] == [200, 500, 500, 200]
        assert _ask(server, "HEAD", self.path).status == 200
        server.faults.append(Fault("", "/blobs/", Answer(500)))
        assert _ask(server, "HEAD", self.path).status == 500

    def test_ends_of_connections(self, server: Registry) -> None:
        self._fail(server, Drop(5))
        with pytest.raises(http.client.IncompleteRead) as caught:
            _ask(server, "GET", self.path)
        assert caught.value.partial == DATA[:5]
        self._fail(server, Lost())
        with pytest.raises(http.client.RemoteDisconnected):
            _ask(server, "GET", self.path)
        for done in (False, True):
            server.faults.append(Fault("PUT", "/manifests/", Lost(done)))
            with pytest.raises(http.client.RemoteDisconnected):
                _ask(server, "PUT", "/v2/app/manifests/v1", b"{}")
            assert (("app", "v1") in server.manifests) is done

    def test_slowness(self, server: Registry) -> None:
        self._fail(server, Stall(5, 0.2))
        self._fail(server, Drip(50, 0.05))
        for _ in range(2):
            began = time.monotonic()
            assert _ask(server, "GET", self.path).body == DATA
            assert time.monotonic() - began >= 0.2

    def test_lies(self, server: Registry) -> None:
        self._fail(server, Change(lambda body: body + b"x"))
        assert _ask(server, "GET", self.path).body == DATA + b"x"
        self._fail(server, Change(lambda body: body[1:], honest=False))
        with pytest.raises(http.client.IncompleteRead):
            _ask(server, "GET", self.path)
        self._fail(server, Relabel((("content-length", "9"), ("Docker-Content-Digest", ""), ("X-New", "1"))))
        got = _ask(server, "GET", self.path)
        assert (got.body, got.headers["Docker-Content-Digest"], got.headers["X-New"]) == (DATA[:9], None, "1")
        self._fail(server, Relabel((("Content-Length", ""),)))
        got = _ask(server, "GET", self.path)
        assert (got.body, got.headers["Content-Length"]) == (DATA, None)

    def test_redirects(self, server: Registry) -> None:
        self._fail(server, Redirect())
        assert _ask(server, "GET", self.path).headers["Location"] == self.path
        self._fail(server, Redirect("http://elsewhere", 302))
        got = _ask(server, "GET", self.path)
        assert (got.status, got.headers["Location"]) == (302, "http://elsewhere" + self.path)

    def test_what_happens_before(self, server: Registry) -> None:
        self._fail(server, Before(server.blobs.clear))
        assert _ask(server, "GET", self.path).status == 404


@pytest.mark.needs("skopeo")
def test_skopeo_takes_it_for_a_registry(server: Registry, tmp_path: Path) -> None:
    made = remote.make({"a": b"1"}, {"b": DATA})
    remote.publish(server, "team/app:v1", made)
    copy = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]
    name = f"docker://{server.host}/team"
    for source, target in (
        (f"{name}/app:v1", f"oci:{tmp_path}/x:v1"),
        (f"oci:{tmp_path}/x:v1", f"{name}/b:v2"),
    ):
        subprocess.run([*copy, source, target], check=True)
    assert server.manifests["team/b", "v2"] == (media.MANIFEST, made.manifest)
    assert server.asked("PATCH", "/team/b/")
