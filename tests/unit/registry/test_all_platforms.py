"""Pulling all that an index names, and pushing it again."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from support import families, remote
from support.families import entry, platform
from support.remote import Made
from wherry.base.errors import Corrupt, NotFound, Unsupported
from wherry.base.events import Event, Note
from wherry.layer.layers import Layers
from wherry.layer.packing import Form
from wherry.oci import media
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.registry.access import Access
from wherry.registry.pull import Pulled, retrieve, retrieve_all
from wherry.registry.push import push
from wherry.registry.pushall import push_all
from wherry.registry.transport import Retries
from wherry.store.gc import Scope, collect
from wherry.store.indexes import ImageIndex, Member
from wherry.store.store import Store
from wherry.testing.registry import Answer, Fault, Registry

QUICK = Retries(attempts=2, first=0.001)
AMD64, ARM64, ARMV6 = (platforms.parse(text) for text in ("linux/amd64", "linux/arm64", "linux/arm/v6"))
SHARED = {"usr/share/common": b"shared" * 1000}
NAME = "team/app:v1"


class Family(NamedTuple):
    raw: bytes
    amd64: Made
    arm64: Made
    armv6: Made
    attestation: Made

    @property
    def images(self) -> tuple[Made, ...]:
        return (self.amd64, self.arm64, self.armv6, self.attestation)


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def family(server: Registry) -> Family:
    """Three images that share a layer, an index within the index, an attestation, annotations.

    The config for v6 does not say so, nor does the inner index: the outer one does.
    """
    amd64 = remote.make(SHARED, {"bin/sh": b"amd64"})
    arm64 = remote.make(SHARED, {"bin/sh": b"arm64"}, architecture="arm64")
    armv6 = remote.make(SHARED, {"bin/sh": b"armv6"}, architecture="arm")
    proof, proof_entry = families.attestation(amd64)
    within = families.index([entry(armv6.manifest, None)])
    raw = families.index(
        [
            entry(arm64.manifest, platform("linux/arm64/v8")),
            proof_entry,
            entry(within, platform("linux/arm/v6"), media.INDEX, note="nested"),
            entry(amd64.manifest, platform("linux/amd64")),
        ],
        annotations={"org.opencontainers.image.title": "family"},
    )
    families.publish(server, NAME, raw, (amd64, arm64, armv6, proof), within)
    return Family(raw, amd64, arm64, armv6, proof)


def _pull_all(store: Store, server: Registry, name: str = NAME) -> Pulled:
    return retrieve_all(store, server.reference(name), access=Access(retries=QUICK))


def _index(store: Store, server: Registry, name: str = NAME) -> ImageIndex:
    index = store.images.index_of(str(server.reference(name)))
    assert index is not None
    return index


class TestPullingAll:
    def test_every_image_is_there_under_its_platform(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        pulled = _pull_all(store, server)
        assert (pulled.digest, pulled.fresh) == (remote.sha256(family.raw), True)
        index = _index(store, server)
        assert [(member.platform, member.image, member.manifest) for member in index.members] == [
            (ARM64, family.arm64.id, family.arm64.digest),
            (ARMV6, family.armv6.id, family.armv6.digest),
            (AMD64, family.amd64.id, family.amd64.digest),
        ]
        name = f"{server.host}/{NAME}"
        for wanted, made in ((AMD64, family.amd64), (ARM64, family.arm64), (ARMV6, family.armv6)):
            image = store.images.find(name, wanted)
            assert image.id == made.id
            assert store.images.repo_digests(image.id) == [f"{server.host}/team/app@{pulled.digest}"]
        assert store.images.find(name).id == pulled.image.id == index.primary
        assert len(store.images.all()) == 3, "an attestation is no image"

    def test_a_second_pull_asks_for_the_index_alone(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        _pull_all(store, server)
        server.log.clear()
        assert not _pull_all(store, server).fresh
        assert [item.path for item in server.log] == ["/v2/team/app/manifests/v1"]

    def test_an_image_may_be_for_several_platforms(self, store: Store, server: Registry) -> None:
        made = remote.make({"a": b"1"})
        here, there = (entry(made.manifest, platform(text)) for text in ("linux/amd64", "freebsd/amd64"))
        families.publish(server, NAME, families.index([here, there, here]), [made])
        _pull_all(store, server)
        assert _index(store, server).platforms == ["linux/amd64", "freebsd/amd64"]

    def test_an_image_that_is_alone_stays_alone(self, store: Store, server: Registry) -> None:
        made = remote.make({"a": b"1"})
        remote.publish(server, NAME, made)
        assert _pull_all(store, server).image.id == made.id
        assert store.images.index_of(str(server.reference(NAME))) is None

    def test_a_pull_by_digest_moves_no_name(self, store: Store, server: Registry, family: Family) -> None:
        name = f"team/app@{remote.sha256(family.raw)}"
        _pull_all(store, server, name)
        assert store.images.all_names() == []
        assert store.images.find(f"{server.host}/{name}", ARM64).id == family.arm64.id
        assert store.images.find(f"{server.host}/team/app@{family.armv6.digest}").id == family.armv6.id

    def test_a_machine_that_none_is_for_is_told(self, store: Store, server: Registry) -> None:
        made = remote.make({"a": b"1"}, architecture="s390x")
        raw = families.index([entry(made.manifest, platform("linux/s390x"))])
        families.publish(server, NAME, raw, [made])
        events: list[Event] = []
        assert retrieve_all(store, server.reference(NAME), events.append).image.id == made.id
        assert any(isinstance(event, Note) and "no image for this machine" in event.text for event in events)

    def test_prune_leaves_all_and_rid_of_the_name_takes_all(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        _pull_all(store, server)
        before = sorted(store.blobs.all())
        collect(store, Scope())
        assert sorted(store.blobs.all()) == before
        store.images.untag(references.parse(f"{server.host}/{NAME}"))
        collect(store, Scope())
        assert list(store.blobs.all()) == [] and store.layers.all() == []

    @pytest.mark.parametrize("part", ["manifest", "config", "layer", "statement"])
    def test_what_is_missing_leaves_the_name_where_it_was(
        self, store: Store, server: Registry, family: Family, part: str
    ) -> None:
        missing = {
            "manifest": family.arm64.digest,
            "config": family.armv6.id,
            "layer": remote.sha256(family.amd64.layers[1]),
            "statement": remote.sha256(family.attestation.layers[0]),
        }[part]
        server.faults.append(Fault("GET", missing, Answer(404), times=9))
        with pytest.raises(NotFound):
            _pull_all(store, server)
        assert store.images.all() == [] and store.images.all_names() == [] and store.indexes.all() == []
        server.faults.clear()
        assert _pull_all(store, server).fresh

    def test_an_index_without_an_image_is_refused(self, store: Store, server: Registry) -> None:
        proof, proof_entry = families.attestation(remote.make({"a": b"1"}))
        families.publish(server, NAME, families.index([proof_entry]), [proof])
        with pytest.raises(Unsupported, match="an index without a container image"):
            _pull_all(store, server)

    def test_an_artifact_in_an_index_is_kept_and_no_image(self, store: Store, server: Registry) -> None:
        made = remote.make({"a": b"1"})
        config, chart = b"{}", b"a chart"
        artifact = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": media.MANIFEST,
                "config": remote.described(config, "application/vnd.cncf.helm.config.v1+json"),
                "layers": [remote.described(chart, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")],
            }
        ).encode()
        raw = families.index(
            [entry(artifact, platform("linux/amd64")), entry(made.manifest, platform("linux/amd64"))]
        )
        families.publish(server, NAME, raw, [made, Made(artifact, config, (chart,), ())])
        assert _pull_all(store, server).image.id == made.id
        with Registry() as other:
            push_all(store, _index(store, server), other.reference(NAME))
            assert other.manifests["team/app", remote.sha256(artifact)][1] == artifact
            assert other.blobs["team/app", remote.sha256(chart)] == chart


class TestHostileIndexes:
    def _refused(self, store: Store, server: Registry, raw: bytes, error: type[Exception], text: str) -> None:
        families.publish(server, NAME, raw, [])
        with pytest.raises(error, match=text):
            _pull_all(store, server)
        assert store.images.all() == [] and list(store.blobs.all()) == []

    def test_indexes_too_deep(self, store: Store, server: Registry) -> None:
        raw = families.index([])
        for _ in range(4):
            families.publish(server, f"team/app:{remote.sha256(raw)}", raw, [])
            raw = families.index([entry(raw, None, media.INDEX)])
        self._refused(store, server, raw, Unsupported, "more than 3 deep")

    def test_the_same_index_again_and_again(self, store: Store, server: Registry) -> None:
        """Three of them, of a thousand entries each, stand for a billion."""
        raw = families.index([])
        for _ in range(3):
            families.publish(server, f"team/app:{remote.sha256(raw)}", raw, [])
            raw = families.index([entry(raw, None, media.INDEX)] * 1000)
        self._refused(store, server, raw, Unsupported, "more than 10000 entries")

    def test_more_manifests_than_anybody_has(self, store: Store, server: Registry) -> None:
        raw = families.index([entry(str(number).encode(), None) for number in range(1001)])
        self._refused(store, server, raw, Unsupported, "more than 1000 manifests")
        assert len(server.log) == 1

    def test_manifests_larger_than_anybody_has(self, store: Store, server: Registry) -> None:
        huge = entry(b"1", None) | {"size": 65 << 20}
        self._refused(store, server, families.index([huge]), Unsupported, "64 MiB of them")

    def test_configs_larger_than_anybody_has(self, store: Store, server: Registry) -> None:
        made = remote.make({"a": b"1"})
        document = json.loads(made.manifest)
        document["config"]["size"] = 65 << 20
        raw = json.dumps(document).encode()
        server.add_manifest("team/app", remote.sha256(raw), raw, media.MANIFEST)
        self._refused(store, server, families.index([entry(raw, None)]), Unsupported, "64 MiB of configs")
        assert not server.asked("GET", "/blobs/")

    def test_a_manifest_of_another_size(self, store: Store, server: Registry) -> None:
        made = remote.make({"a": b"1"})
        remote.publish(server, f"team/app:{made.digest}", made)
        raw = families.index([entry(made.manifest, None) | {"size": 3}])
        self._refused(store, server, raw, Corrupt, "not 3 as its index says")


class TestOnePlatform:
    def test_platforms_of_one_index_come_together(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        name = str(server.reference(NAME))
        for wanted, made in ((ARMV6, family.armv6), (ARM64, family.arm64), (AMD64, family.amd64)):
            pulled = retrieve(store, server.reference(NAME), wanted)
            assert (pulled.image.id, pulled.fresh) == (made.id, True)
            assert not retrieve(store, server.reference(NAME), wanted).fresh
            assert store.images.find(name, wanted).id == made.id
        index = _index(store, server)
        assert index.platforms == ["linux/arm/v6", "linux/arm64", "linux/amd64"]
        assert (index.source, index.whole) == (remote.sha256(family.raw), False)
        collect(store, Scope())
        assert len(store.images.all()) == 3

    def test_a_pull_by_digest_moves_no_name(self, store: Store, server: Registry, family: Family) -> None:
        reference = server.reference(f"team/app@{remote.sha256(family.raw)}")
        retrieve(store, reference, ARM64)
        retrieve(store, reference, AMD64)
        assert store.images.all_names() == []
        assert store.images.find(str(reference), ARM64).id == family.arm64.id
        assert store.images.find(str(reference), AMD64).id == family.amd64.id

    def test_another_index_under_the_name_begins_anew(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        retrieve(store, server.reference(NAME), AMD64)
        newer = remote.make({"newer": b"1"}, architecture="arm64")
        raw = families.index([entry(newer.manifest, platform("linux/arm64"))])
        families.publish(server, NAME, raw, [newer])
        retrieve(store, server.reference(NAME), ARM64)
        assert store.images.index_of(str(server.reference(NAME))) is None
        assert store.images.find(str(server.reference(NAME))).id == newer.id

    def test_one_of_an_index_that_is_here_whole_changes_nothing(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        _pull_all(store, server)
        assert not retrieve(store, server.reference(NAME), ARMV6).fresh
        assert _index(store, server).whole

    def test_the_indexes_word_on_the_platform_is_enough(self, store: Store, server: Registry) -> None:
        """A config need not tell the variant; docker and containerd go by the index too."""
        made = remote.make({"a": b"1"}, architecture="arm")
        raw = families.index([entry(made.manifest, platform("linux/arm/v6"))])
        families.publish(server, NAME, raw, [made])
        assert retrieve(store, server.reference(NAME), platforms.parse("linux/arm/v6")).image.id == made.id

    def test_indexes_within_an_index_are_looked_through(self, store: Store, server: Registry) -> None:
        """An entry for an index need not say what platforms that has (image-spec, image-index.md)."""
        made = {
            name: remote.make({"a": name.encode()}, architecture=name) for name in ("amd64", "arm64", "s390x")
        }
        within = [
            families.index([entry(made[name].manifest, platform(f"linux/{name}")) for name in names])
            for names in (["amd64"], ["arm64", "s390x"])
        ]
        raw = families.index([entry(document, None, media.INDEX) for document in within])
        families.publish(server, NAME, raw, list(made.values()), *within)
        for name, image in made.items():
            wanted = platforms.parse(f"linux/{name}")
            assert retrieve(store, server.reference(NAME), wanted).image.id == image.id
        with pytest.raises(NotFound, match="no image for linux/riscv64") as caught:
            retrieve(store, server.reference(NAME), platforms.parse("linux/riscv64"))
        assert caught.value.hint == "it has: linux/amd64, linux/arm64, linux/s390x"

    def test_more_indexes_than_anybody_has(self, store: Store, server: Registry) -> None:
        raw = families.index([])
        for _ in range(2):
            families.publish(server, f"team/app:{remote.sha256(raw)}", raw, [])
            raw = families.index([entry(raw, None, media.INDEX)] * 1000)
        families.publish(server, NAME, raw, [])
        with pytest.raises(NotFound, match="no image"):
            retrieve(store, server.reference(NAME), AMD64)
        assert len(server.log) <= 101

    def test_windows_by_the_beginning_of_its_version(self, store: Store, server: Registry) -> None:
        versions = ("10.0.17763.1", "10.0.20348.1", "10.0.20348.2")
        made = [remote.make({"Files/v": version.encode()}) for version in versions]
        entries = [
            entry(image.manifest, {"os": "windows", "architecture": "amd64", "os.version": version})
            for image, version in zip(made, versions, strict=True)
        ]
        families.publish(server, NAME, families.index(entries), made)
        for text, expected in (("(10.0.17763)", 0), ("(10.0.20348)", 2), ("(10.0.20348.1)", 1), ("", 2)):
            wanted = platforms.parse(f"windows{text}/amd64")
            assert retrieve(store, server.reference(NAME), wanted).image.id == made[expected].id
        with pytest.raises(NotFound, match=r"no image for windows\(10\.0\.14393\)/amd64"):
            retrieve(store, server.reference(NAME), platforms.parse("windows(10.0.14393)/amd64"))


class TestPushing:
    def test_what_was_pulled_whole_goes_out_byte_for_byte(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        digest = _pull_all(store, server).digest
        collect(store, Scope())
        with Registry() as other:
            assert push_all(store, _index(store, server), other.reference("a/b:v2")) == digest
            assert other.manifests["a/b", "v2"] == (media.INDEX, family.raw)
            expected = {blob: data for (_, blob), data in server.blobs.items()}
            assert {blob: data for (_, blob), data in other.blobs.items()} == expected
            assert {name for _, name in other.manifests} == {name for _, name in server.manifests} - {
                "v1"
            } | {"v2"}
            _is_whole(other, "a/b")
            assert f"{other.host}/a/b@{digest}" in store.images.repo_digests(family.arm64.id)  # type: ignore[arg-type]

    def test_manifests_come_before_the_index_that_names_them(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        _pull_all(store, server)
        with Registry() as other:
            push_all(store, _index(store, server), other.reference("a/b:v2"))
            _in_order(other)

    def test_docker_lists_stay_docker_lists(self, store: Store, server: Registry) -> None:
        made = remote.make({"a": b"1"})
        raw = families.index([entry(made.manifest, platform("linux/amd64"))], media.DOCKER_LIST)
        families.publish(server, NAME, raw, [made])
        _pull_all(store, server)
        with Registry() as other:
            push_all(store, _index(store, server), other.reference("a/b:v2"))
            assert other.manifests["a/b", "v2"] == (media.DOCKER_LIST, raw)

    def test_what_images_share_is_sent_once(self, store: Store, server: Registry, family: Family) -> None:
        _pull_all(store, server)
        with Registry() as other:
            push_all(store, _index(store, server), other.reference("a/b:v2"))
            shared = remote.sha256(family.amd64.layers[0])
            assert len(other.asked("HEAD", shared)) == 1
            assert len(other.asked("PUT", shared.replace(":", "%3A"))) + len(other.asked("PUT", shared)) <= 1

    def test_a_new_index_of_dockers_images_is_dockers(self, store: Store, server: Registry) -> None:
        made = remote.make({"a": b"1"})
        document = json.loads(made.manifest) | {"mediaType": media.DOCKER_MANIFEST}
        document["config"]["mediaType"] = media.DOCKER_CONFIG
        document["layers"][0]["mediaType"] = media.DOCKER_LAYER_GZIP
        raw = json.dumps(document).encode()
        server.add_blob("team/app", made.config)
        server.add_blob("team/app", made.layers[0])
        server.add_manifest("team/app", "v1", raw, media.DOCKER_MANIFEST)
        image = retrieve_all(store, server.reference(NAME)).image
        for notes, kind in (((), media.DOCKER_LIST), ((("a", "b"),), media.INDEX)):
            index = store.indexes.get(store.indexes.put([Member(AMD64, image.id)], notes))
            assert index is not None
            with Registry() as other:
                push_all(store, index, other.reference("a/b:v2"))
                media_type, pushed = other.manifests["a/b", "v2"]
                assert (media_type, json.loads(pushed)["manifests"][0]["digest"]) == (
                    kind,
                    remote.sha256(raw),
                )

    def test_images_that_were_built_get_an_index(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        _pull_all(store, server)
        members = [
            Member(AMD64, store.images.find(f"{server.host}/{NAME}", AMD64).id, None, (), (("d", "e"),)),
            Member(ARM64, store.images.find(f"{server.host}/{NAME}", ARM64).id, None, (("a", "b"),)),
        ]
        index = store.indexes.get(store.indexes.put(members, {"z": "1"}))
        assert index is not None
        with Registry() as other:
            digest = push_all(store, index, other.reference("a/b:v2"))
            media_type, raw = other.manifests["a/b", "v2"]
            document = json.loads(raw)
            assert (media_type, remote.sha256(raw), document["annotations"]) == (
                media.INDEX,
                digest,
                {"z": "1"},
            )
            first, second = document["manifests"]
            assert (first["digest"], first["annotations"]) == (family.amd64.digest, {"d": "e"})
            assert second["platform"] == {"architecture": "arm64", "os": "linux"}
            assert json.loads(other.manifests["a/b", second["digest"]][1])["annotations"] == {"a": "b"}
            _in_order(other)
            _is_whole(other, "a/b")
            assert push_all(store, index, other.reference("a/b:v3")) == digest
            retrieve_all(store, other.reference("a/b:v3"))
            assert _index(store, other, "a/b:v3").id == digest

    def test_another_compression_makes_an_index_of_the_images_alone(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        digest = _pull_all(store, server).digest
        with Registry() as other:
            form = Form("zstd", force=True)
            assert push_all(store, _index(store, server), other.reference("a/b:v2"), form=form) != digest
            document = json.loads(other.manifests["a/b", "v2"][1])
            assert [entry["platform"]["architecture"] for entry in document["manifests"]] == [
                "arm64",
                "arm",
                "amd64",
            ]
            for item in document["manifests"]:
                manifest = json.loads(other.manifests["a/b", item["digest"]][1])
                assert {layer["mediaType"] for layer in manifest["layers"]} == {media.LAYER_ZSTD}
            _is_whole(other, "a/b")

    def test_without_a_tag(self, store: Store, server: Registry, family: Family) -> None:
        digest = _pull_all(store, server).digest
        with Registry() as other:
            push_all(store, _index(store, server), other.reference("a/b:v2"), by_digest=True)
            assert ("a/b", "v2") not in other.manifests and ("a/b", digest) in other.manifests

    def test_a_layer_that_is_gone_is_no_other_index(
        self, store: Store, server: Registry, family: Family
    ) -> None:
        """It can be compressed anew, but to other bytes."""
        _pull_all(store, server)
        layer = store.images.find(f"{server.host}/{NAME}", ARM64).config.diff_ids[1]
        shutil.rmtree(store.layers.folder(layer))
        assert Layers(store).add_stream(io.BytesIO(family.arm64.tars[1]), extract=False).diff_id == layer
        for blob in store.layers.blobs_of(layer):
            store.blobs.delete(blob.digest)
        with Registry() as other, pytest.raises(Corrupt, match="cannot be pushed as it was pulled"):
            push_all(store, _index(store, server), other.reference("a/b:v2"))
        assert ("a/b", "v2") not in other.manifests

    def test_one_platform_goes_out_alone(self, store: Store, server: Registry, family: Family) -> None:
        _pull_all(store, server)
        image = store.images.find(f"{server.host}/{NAME}", ARM64)
        with Registry() as other:
            assert push(store, image, other.reference("a/b:v2")) == family.arm64.digest
            assert set(other.manifests) == {("a/b", "v2"), ("a/b", family.arm64.digest)}


def _in_order(registry: Registry) -> None:
    """No manifest was sent before what it names."""
    there: set[str] = set()
    for item in registry.log:
        if item.method != "PUT":
            continue
        name = item.path.rpartition("/")[2]
        if "/blobs/" in item.path:
            there.add(item.path.rpartition("digest=")[2].replace("%3A", ":"))
            continue
        raw = registry.manifests["a/b", name][1]
        document = json.loads(raw)
        named = [*document.get("manifests", ()), *document.get("layers", ()), document.get("config")]
        assert {one["digest"] for one in named if one} <= there
        there.add(remote.sha256(raw))


def _is_whole(registry: Registry, repository: str) -> None:
    """Everything that a manifest names is in the repository."""
    for (where, _), (_, raw) in registry.manifests.items():
        document = json.loads(raw)
        blobs = [*document.get("layers", ()), *([document["config"]] if "config" in document else [])]
        assert where == repository
        assert all((repository, one["digest"]) in registry.blobs for one in blobs)
        assert all((repository, one["digest"]) in registry.manifests for one in document.get("manifests", ()))
