"""What a registry lists: tags and referrers, by pages, with the older way to keep referrers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import remote
from support.cli import Wherry
from wherry.base.errors import Corrupt, Denied, NotFound
from wherry.oci import media
from wherry.oci import reference as references
from wherry.oci.digest import Digest
from wherry.registry.access import Access
from wherry.registry.client import Client
from wherry.registry.failures import Broken
from wherry.registry.lists import tags
from wherry.registry.referrers import fallback_tag, put, referrers, subject_of
from wherry.registry.transport import Retries
from wherry.testing.registry import Answer, Change, Drop, Fault, Registry

QUICK = Retries(attempts=2, first=0.001)
IMAGE = remote.make({"a": b"1"})
SIGNATURE, SBOM = "application/vnd.example.signature", "application/vnd.example.sbom"


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as registry:
        remote.publish(registry, "app:v1", IMAGE)
        registry.add_blob("app", b"{}")
        yield registry


@pytest.fixture
def client(server: Registry) -> Iterator[Client]:
    with Client(server.reference("app:v1"), True, access=Access(retries=QUICK)) as opened:
        yield opened


def artifact(kind: str, subject: str = IMAGE.digest, note: str = "") -> bytes:
    """A manifest that refers to another one."""
    document = {
        "schemaVersion": 2,
        "mediaType": media.MANIFEST,
        "artifactType": kind,
        "config": remote.described(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [],
        "subject": {"mediaType": media.MANIFEST, "digest": subject, "size": len(IMAGE.manifest)},
        "annotations": {"note": note or kind},
    }
    return json.dumps(document).encode()


def _sign(client: Client, *kinds: str) -> list[str]:
    """The digests of artifacts that were put beside the image."""
    raws = [artifact(kind) for kind in kinds]
    return [put(client, remote.sha256(raw), raw, media.MANIFEST) for raw in raws]


def _digests(client: Client, kind: str = "") -> list[Digest]:
    return [found.descriptor.digest for found in referrers(client, Digest(IMAGE.digest), kind)]


@pytest.mark.parametrize("page", [0, 1, 3])
def test_tags_come_by_pages_and_are_sorted_by_number(server: Registry, client: Client, page: int) -> None:
    server.page = page
    for tag in ("v1.10", "v1.9", "latest", "1", "10", "9"):
        remote.publish(server, f"app:{tag}", IMAGE)
    assert tags(client) == ["1", "9", "10", "latest", "v1", "v1.9", "v1.10"]
    assert len(server.asked("GET", "/tags/list")) == {0: 1, 1: 7, 3: 3}[page]


def test_a_page_that_breaks_off_is_asked_for_again(server: Registry, client: Client) -> None:
    server.faults.append(Fault("GET", "/tags/list", Drop(5)))
    assert "v1" in tags(client)
    server.faults.append(Fault("GET", "/tags/list", Drop(5), times=100))
    with pytest.raises(Broken, match=server.host):
        tags(client)


def test_a_list_that_leads_to_another_host_is_refused(server: Registry, client: Client) -> None:
    with Registry() as other:
        for scheme in ("http://", "//"):
            link = (("Link", f'<{scheme}{other.host}/v2/app/tags/list?last=v1>; rel="next"'),)
            server.faults.append(Fault("GET", "/tags/list", Answer(200, link, b'{"tags": ["v1"]}')))
            with pytest.raises(Denied, match=f"continues its list at another server, {other.host}: refused"):
                tags(client)
        assert not other.log


def test_a_list_without_end_is_refused(server: Registry, client: Client) -> None:
    link = (("Link", '</v2/app/tags/list?last=v1>; rel="next"'),)
    server.faults.append(Fault("GET", "/tags/list", Answer(200, link, b'{"tags": ["v1"]}'), 9))
    with pytest.raises(Corrupt, match="gives a list without end for 127"):
        tags(client)
    assert len(server.log) <= 3


@pytest.mark.parametrize(
    "body", [b'{"tags": ["a\\u001b[2J"]}', b'{"tags": [7]}', b'{"tags": {"a": 1}}', b"<"]
)
def test_what_is_no_list_of_tags_is_refused(server: Registry, client: Client, body: bytes) -> None:
    server.faults.append(Fault("GET", "/tags/list", Answer(200, (), body)))
    with pytest.raises(Corrupt) as caught:
        tags(client)
    assert caught.value.message.isprintable()


def test_a_repository_that_there_is_not(server: Registry) -> None:
    with Client(server.reference("nothing")) as client, pytest.raises(NotFound, match="no such repository"):
        tags(client)


@pytest.mark.parametrize("api", [True, False])
@pytest.mark.parametrize("page", [0, 1])
def test_referrers_are_found(server: Registry, client: Client, api: bool, page: int) -> None:
    server.referrers, server.page = api, page
    assert _digests(client) == []
    signature, other, sbom = _sign(client, SIGNATURE, SIGNATURE + ".2", SBOM)
    assert sorted(_digests(client)) == sorted([signature, other, sbom])
    assert _digests(client, SBOM) == [sbom]
    assert _digests(client, "none/such") == []
    found = referrers(client, Digest(IMAGE.digest), SBOM)[0]
    assert (found.artifact_type, dict(found.descriptor.annotations)) == (SBOM, {"note": SBOM})
    assert (fallback_tag(Digest(IMAGE.digest)) in server.tags("app")) is not api


def test_a_filter_that_was_not_applied_is_applied_here(server: Registry, client: Client) -> None:
    _sign(client, SIGNATURE)
    sbom = _sign(client, SBOM)
    unfiltered = json.dumps(
        {
            "schemaVersion": 2,
            "manifests": [
                remote.described(artifact(kind), media.MANIFEST) | {"artifactType": kind}
                for kind in (SIGNATURE, SBOM)
            ],
        }
    ).encode()
    server.faults.append(Fault("GET", "/referrers/", Change(lambda _: unfiltered)))
    assert _digests(client, SBOM) == sbom


@pytest.mark.parametrize("status", [400, 404, 405])
def test_registries_say_in_several_ways_that_they_have_no_such_api(
    server: Registry, client: Client, status: int
) -> None:
    server.referrers = False
    signature = _sign(client, SIGNATURE)
    server.faults.append(Fault("GET", "/referrers/", Answer(status, (), b"no")))
    assert _digests(client) == signature


def test_a_registry_that_knows_subjects_gets_no_second_list(server: Registry, client: Client) -> None:
    _sign(client, SIGNATURE)
    assert server.tags("app") == ["v1"]
    server.referrers = False
    _sign(client, SBOM)
    assert server.tags("app") == [fallback_tag(Digest(IMAGE.digest)), "v1"]


def test_the_older_list_grows_and_names_each_once(server: Registry, client: Client) -> None:
    server.referrers = False
    first, second = _sign(client, SIGNATURE, SBOM)
    puts = len(server.asked("PUT", "/manifests/"))
    assert _sign(client, SBOM) == [second]
    assert len(server.asked("PUT", "/manifests/")) == puts + 1
    media_type, raw = server.manifests["app", fallback_tag(Digest(IMAGE.digest))]
    entry = {"artifactType": SIGNATURE, "annotations": {"note": SIGNATURE}}
    assert media_type == media.INDEX
    assert json.loads(raw) == {
        "schemaVersion": 2,
        "mediaType": media.INDEX,
        "manifests": [
            remote.described(artifact(SIGNATURE), media.MANIFEST) | entry,
            remote.described(artifact(SBOM), media.MANIFEST)
            | {"artifactType": SBOM, "annotations": {"note": SBOM}},
        ],
    }
    assert _digests(client) == [first, second]


def test_subjects() -> None:
    assert subject_of(artifact(SBOM)) == IMAGE.digest
    assert subject_of(IMAGE.manifest) is None


@pytest.fixture
def run(server: Registry, wherry: Wherry) -> Callable[..., str]:
    return lambda *words: wherry.ok(*(word.replace("HOST", server.host) for word in words))


def test_ls(server: Registry, run: Callable[..., str]) -> None:
    remote.publish(server, "app:v2", IMAGE)
    assert run("ls", "HOST/app") == "v1\nv2\n"
    rows = [json.loads(line) for line in run("ls", "--format", "json", "HOST/app").splitlines()]
    name = f"{server.host}/app"
    assert rows[1] == {"Tag": "v2", "Repository": name, "Name": f"{name}:v2"}
    assert run("ls", "--format", "{{.Name}}", "HOST/app") == f"{name}:v1\n{name}:v2\n"


def test_ls_of_a_layout(server: Registry, wherry: Wherry, tmp_path: Path) -> None:
    for tag in ("v1.10", "v1.9"):
        wherry.ok("copy", f"{server.host}/app:v1", f"oci:layout:{tag}", cwd=tmp_path)
    wherry.ok("copy", f"{server.host}/app:v1", "oci:layout", cwd=tmp_path)
    assert wherry.ok("ls", "oci:layout", cwd=tmp_path) == "v1.9\nv1.10\n"
    assert wherry.ok("ls", "--format={{.Name}}", "oci:layout", cwd=tmp_path).startswith("oci:layout:v1.9\n")
    assert wherry("ls", "oci:layout:v1.9", cwd=tmp_path).code == 125
    assert wherry("ls", "store:app").code == 125


def test_ls_takes_a_repository(server: Registry, wherry: Wherry) -> None:
    found = wherry("ls", f"{server.host}/app:v1")
    assert (found.code, "lists the tags of a repository" in found.err) == (125, True)
    assert references.parse(f"{server.host}/app").familiar_name in found.err


def test_the_command_referrers(server: Registry, client: Client, run: Callable[..., str]) -> None:
    signature, sbom = _sign(client, SIGNATURE, SBOM)
    header, *lines = run("referrers", "HOST/app:v1").splitlines()
    assert header.split("  ")[0] == "DIGEST"
    assert sorted(line.split()[:2] for line in lines) == sorted(
        [[signature[7:19], SIGNATURE], [sbom[7:19], SBOM]]
    )
    assert run("referrers", "-q", "--artifact-type", SBOM, "HOST/app:v1") == f"{sbom}\n"
    assert json.loads(run("referrers", "--format", "json", "--artifact-type", SBOM, "HOST/app:v1")) == {
        "Digest": sbom,
        "ArtifactType": SBOM,
        "MediaType": media.MANIFEST,
        "Size": f"{len(artifact(SBOM))}B",
        "Annotations": {"note": SBOM},
        "Name": f"{server.host}/app@{sbom}",
    }


@pytest.mark.parametrize("place", ["oci:layout:v1", "store:app"])
def test_referrers_asks_registries_alone(wherry: Wherry, place: str) -> None:
    found = wherry("referrers", place)
    assert (found.code, found.err.splitlines()[0]) == (125, f"error: {place}: `referrers` asks registries")
