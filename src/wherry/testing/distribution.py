"""The OCI distribution-spec 1.1 as a function from a request to its right answer; sections by their names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import media
from wherry.testing import tokens
from wherry.testing.faults import Answer
from wherry.testing.state import State

_DIGEST = r"sha256:[0-9a-f]{64}"


class Request(NamedTuple):
    """The names of `headers` are in lower case. `broken`: the client left before the body's end."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    broken: bool = False

    def asked(self, key: str) -> str:
        return parse_qs(self.query).get(key, [""])[0]


def answer(state: State, request: Request) -> Answer:
    """Do what is asked for. A body that broke off is taken too, where the protocol has a place for it."""
    sent = request.headers.get("authorization", "")
    if request.path == "/token":
        return tokens.issue(
            state, sent, request.query if request.method == "GET" else request.body.decode("latin-1")
        )
    if wanted := tokens.challenge(state, request.method, request.path, sent):
        return _error(401, "UNAUTHORIZED", "authentication required", ("WWW-Authenticate", wanted))
    if request.path == "/v2/":
        return Answer(200, (), b"{}")
    for pattern, handle in _PATHS:
        if match := re.fullmatch(pattern, request.path):
            return handle(state, request, *match.groups())
    return Answer(404, (("Content-Type", "text/html"),), b"<html>404</html>")


def _manifest(state: State, request: Request, repository: str, name: str) -> Answer:
    if request.method == "PUT":
        return _put_manifest(state, request, repository, name)
    if (repository, name) not in state.manifests:
        return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
    if request.method == "DELETE":
        return _delete_manifest(state, repository, name)
    media_type, raw = state.manifests[repository, name]
    return Answer(200, (("Content-Type", media_type), ("Docker-Content-Digest", digests.of(raw))), raw)


def _put_manifest(state: State, request: Request, repository: str, name: str) -> Answer:
    digest = digests.of(request.body)
    if request.broken or (digests.is_digest(name) and name != digest):
        return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
    document = _document(request.body)
    for missing in _named(document) if state.checks_names else ():
        if (repository, missing) not in state.blobs and (repository, missing) not in state.manifests:
            return _error(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {missing}")
    state.add_manifest(repository, name, request.body, request.headers.get("content-type", ""))
    headers = [("Docker-Content-Digest", digest), ("Location", f"/v2/{repository}/manifests/{digest}")]
    subject = document.get("subject")
    if isinstance(subject, dict) and state.referrers:
        headers.append(("OCI-Subject", subject["digest"]))
    return Answer(201, tuple(headers))


def _named(document: dict[str, Any]) -> list[str]:
    """The digests that must be there first; layers with `urls` lie elsewhere, a subject may come later."""
    entries = [document.get("config"), *document.get("layers", ()), *document.get("manifests", ())]
    return [entry["digest"] for entry in entries if entry and not entry.get("urls")]


def _delete_manifest(state: State, repository: str, name: str) -> Answer:
    """A tag goes alone; a digest takes its tags along ("Deleting manifests")."""
    found = state.manifests[repository, name]
    gone = [key for key, value in state.manifests.items() if key[0] == repository and value == found]
    for key in gone if digests.is_digest(name) else [(repository, name)]:
        del state.manifests[key]
    return Answer(202)


def _blob(state: State, request: Request, repository: str, digest: str) -> Answer:
    data = state.blobs.get((repository, digest))
    if data is None:
        return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
    if request.method == "DELETE":
        del state.blobs[repository, digest]
        return Answer(202)
    kind = (("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", digest))
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if not wanted or not state.ranges:
        return Answer(200, kind, data)
    start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
    if start > end:
        return Answer(416, (("Content-Range", f"bytes */{len(data)}"),))
    part = ("Content-Range", f"bytes {start}-{end}/{len(data)}")
    return Answer(206, (*kind, part), data[start : end + 1])


def _begin(state: State, request: Request, repository: str) -> Answer:
    """ "Pushing blobs": mounted from elsewhere, whole in one request, or a place to send it to."""
    mounted, source = request.asked("mount"), request.asked("from")
    if mounted and (source, mounted) in state.blobs:
        state.blobs[repository, mounted] = state.blobs[source, mounted]
        return _created(repository, mounted)
    if request.asked("digest"):
        return _keep(state, repository, request.asked("digest"), request)
    name = os.urandom(8).hex()
    state.uploads[name] = bytearray()
    smallest = (("OCI-Chunk-Min-Length", str(state.smallest_chunk)),) if state.smallest_chunk else ()
    return Answer(202, (*_progress(state, repository, name), *smallest))


def _upload(state: State, request: Request, repository: str, name: str) -> Answer:
    received = state.uploads.get(name)
    if received is None:
        return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
    if request.method == "DELETE":
        del state.uploads[name]
        return Answer(204)
    if request.method == "GET":
        return Answer(204, _progress(state, repository, name))
    if request.method == "PATCH" and not state.chunks:
        return _error(405, "UNSUPPORTED", "the operation is unsupported")
    part = re.fullmatch(r"(?:bytes )?(\d+)-(\d+)(?:/.*)?", request.headers.get("content-range", ""))
    if part and int(part[1]) != len(received):
        return Answer(416, _progress(state, repository, name))
    received += request.body
    if request.method == "PATCH":
        return Answer(202, _progress(state, repository, name))
    done = _keep(state, repository, request.asked("digest"), request._replace(body=bytes(received)))
    if done.status == 201:
        del state.uploads[name]
    return done


def _progress(state: State, repository: str, name: str) -> tuple[tuple[str, str], ...]:
    """Where to send more, and the number of the last byte that came. The query is part of the place."""
    place = f"/v2/{repository}/blobs/uploads/{name}?state=x"
    last = max(len(state.uploads[name]) - 1, 0)
    return (("Location", place), ("Range", f"0-{last}"), ("Docker-Upload-UUID", name))


def _keep(state: State, repository: str, digest: str, request: Request) -> Answer:
    if request.broken:
        return Answer(400)
    if digests.of(request.body) != digest:
        return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
    state.add_blob(repository, request.body)
    return _created(repository, digest)


def _created(repository: str, digest: str) -> Answer:
    place = f"/v2/{repository}/blobs/{digest}"
    return Answer(201, (("Location", place), ("Docker-Content-Digest", digest)))


def _tags(state: State, request: Request, repository: str) -> Answer:
    """ "Listing tags"; the next page begins behind the last tag of this one."""
    if not any(place == repository for place, _ in state.manifests):
        return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
    names = [name for name in state.tags(repository) if name > request.asked("last")]
    limit = min(filter(None, (state.page, int(request.asked("n") or 0))), default=len(names))
    body = json.dumps({"name": repository, "tags": names[:limit]}).encode()
    link = _next(request, {"n": str(limit), "last": names[limit - 1]}) if len(names) > limit else ()
    return Answer(200, (("Content-Type", "application/json"), *link), body)


def _referrers(state: State, request: Request, repository: str, digest: str) -> Answer:
    """ "Listing Referrers"; the filter is applied, and said to be."""
    if not state.referrers:
        return Answer(404, (("Content-Type", "text/plain"),), b"404 page not found\n")
    kind, start = request.asked("artifactType"), int(request.asked("start") or 0)
    entries = [
        entry for entry in _referring(state, repository, digest) if kind in ("", entry["artifactType"])
    ]
    limit = state.page or len(entries)
    headers = [("Content-Type", media.INDEX)]
    if kind:
        headers.append(("OCI-Filters-Applied", "artifactType"))
    if len(entries) > start + limit:
        more = {"start": str(start + limit)} | ({"artifactType": kind} if kind else {})
        headers += _next(request, more)
    index = {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": entries[start : start + limit]}
    return Answer(200, tuple(headers), json.dumps(index).encode())


def _referring(state: State, repository: str, digest: str) -> list[dict[str, Any]]:
    found = []
    for (place, name), (media_type, raw) in sorted(state.manifests.items()):
        document = _document(raw) if place == repository and digests.is_digest(name) else {}
        if (document.get("subject") or {}).get("digest") == digest:
            kind = document.get("artifactType") or document.get("config", {}).get("mediaType", "")
            entry = {"mediaType": media_type, "digest": name, "size": len(raw), "artifactType": kind}
            found.append(entry | {key: document[key] for key in ("annotations",) if key in document})
    return found


def _next(request: Request, query: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return (("Link", f'<{request.path}?{urlencode(query)}>; rel="next"'),)


def _document(raw: bytes) -> dict[str, Any]:
    """What a manifest says, as far as it says anything: tests keep other things under names too."""
    try:
        document = json.loads(raw)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _error(status: int, code: str, message: str, *headers: tuple[str, str]) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, (("Content-Type", "application/json"), *headers), body)


_PATHS: tuple[tuple[str, Callable[..., Answer]], ...] = (
    (r"/v2/(.+)/manifests/([^/]+)", _manifest),
    (r"/v2/(.+)/blobs/uploads/", _begin),
    (r"/v2/(.+)/blobs/uploads/([^/]+)", _upload),
    (rf"/v2/(.+)/blobs/({_DIGEST})", _blob),
    (r"/v2/(.+)/tags/list", _tags),
    (rf"/v2/(.+)/referrers/({_DIGEST})", _referrers),
)
