"""--cache-to on one machine, --cache-from on another that has never built the project."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import busybox, cli, ordinary
from support.cli import Wherry
from support.machines import Machine, machines
from support.progress import words
from support.registry import serve

pytestmark = pytest.mark.needs("root", "newuidmap", busybox.PROGRAM)

DONE, CACHED = "DONE", "CACHED"
DOCKERFILE = """\
FROM busybox AS tools
COPY tool /src/tool
RUN cat /src/tool > /out
FROM busybox
WORKDIR /app
COPY . .
RUN cat requirements > /installed
RUN ls lib > /listing
COPY --from=tools /out /bin/tool
CMD ["sh"]
"""
FILES = {"Dockerfile": DOCKERFILE, "app": "1", "requirements": "flask\n", "lib/a": "a", "tool": "echo\n"}
TOOLS = "COPY tool /src/tool", "RUN cat /src/tool > /out"


class World:
    """Machines, and one project that lies where all of them reach it."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.folder = folder
        self.project = cli.write_files(folder / "project", FILES)
        self.cache = folder / "cache"

    def edit(self, **files: str) -> None:
        cli.write_files(self.project, files)

    def built(self, wherry: Wherry, *flags: str) -> dict[str, str]:
        return words(wherry, self.project, "-t", "app", *flags)

    def image(self, wherry: Wherry) -> str:
        return wherry.ok("images", "-q", "--no-trunc", "app").strip()

    @property
    def to_local(self) -> str:
        return f"--cache-to=type=local,dest={self.cache}"

    @property
    def from_local(self) -> str:
        return f"--cache-from=type=local,src={self.cache}"


@pytest.fixture(params=["root", "userns", "single-id"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with machines(request.param, tmp_path) as (machine, folder):
        made = World(machine, folder)
        if request.param != "root":
            ordinary.hand_over(made.project)
        yield made


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """As `world`, in one mode alone."""
    with machines("root", tmp_path) as (machine, folder):
        yield World(machine, folder)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    scratch = tmp_path_factory.mktemp("cache-registry")
    with serve(str(scratch / "content"), str(scratch)) as address:
        yield address


def _reused(found: dict[str, str]) -> set[str]:
    """The instructions that were not executed."""
    return {text for text, word in found.items() if word != DONE}


def test_another_machine_reuses_all(world: World) -> None:
    laptop, ci = world.machine("laptop"), world.machine("ci")
    assert set(world.built(laptop, f"{world.to_local},mode=max").values()) == {DONE}
    assert set(world.built(ci, world.from_local).values()) == {CACHED}
    assert world.image(ci) == world.image(laptop)
    assert ci.ok("run", "--rm", "app", "cat", "/installed", "/listing") == "flask\na\n"


def test_another_machine_reuses_what_did_not_look_at_an_edit(world: World) -> None:
    laptop, ci = world.machine("laptop"), world.machine("ci")
    world.built(laptop, f"{world.to_local},mode=max")
    world.edit(app="2")
    found = world.built(ci, world.from_local)
    assert found["COPY . ."] == DONE
    reused = "CACHED, REUSED (read 1 of 5 files copied: app/requirements; unchanged)"
    assert found["RUN cat requirements > /installed"] == reused
    assert found["RUN ls lib > /listing"].startswith("CACHED, REUSED")
    assert found["COPY --from=tools /out /bin/tool"].startswith(CACHED)
    assert {found[step] for step in TOOLS} == {CACHED}
    assert world.image(ci) == (world.built(laptop) and world.image(laptop))


def test_what_was_imported_is_the_machines_own(here: World) -> None:
    laptop, ci = here.machine("laptop"), here.machine("ci")
    here.built(laptop, here.to_local)
    here.built(ci, here.from_local)
    here.cache.rename(here.folder / "gone")
    assert set(here.built(ci).values()) == {CACHED}
    here.edit(app="2")
    found = here.built(ci)
    assert found["RUN cat requirements > /installed"].startswith("CACHED, REUSED (read 1 of 5")


def test_an_edit_that_a_step_looked_at_runs_it(here: World) -> None:
    laptop, ci = here.machine("laptop"), here.machine("ci")
    here.built(laptop, here.to_local)
    here.edit(requirements="django\n")
    found = here.built(ci, here.from_local)
    assert found["RUN cat requirements > /installed"] == DONE
    assert found["RUN ls lib > /listing"].startswith("CACHED, REUSED")
    assert ci.ok("run", "--rm", "app", "cat", "/installed") == "django\n"


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_mode_says_which_stages_go_along(here: World, mode: str) -> None:
    laptop, ci = here.machine("laptop"), here.machine("ci")
    here.built(laptop, f"{here.to_local},mode={mode}")
    found = here.built(ci, here.from_local)
    expected = DONE if mode == "min" else CACHED
    assert {found[step] for step in TOOLS} == {expected}
    assert {word for step, word in found.items() if step not in TOOLS} == {CACHED}


def test_layers_that_nobody_needs_are_not_fetched(here: World) -> None:
    laptop, ci = here.machine("laptop"), here.machine("ci")
    here.built(laptop, f"{here.to_local},mode=max")
    here.built(ci, here.from_local)
    image = json.loads(ci.ok("inspect", "app"))[0]
    assert len(list((ci.root / "layers").iterdir())) == len(image["RootFS"]["Layers"])


def test_what_was_not_fetched_goes_on_all_the_same(here: World) -> None:
    """As in CI: the same cache is read and written."""
    laptop, ci, next_ci = map(here.machine, ("laptop", "ci", "next"))
    here.built(laptop, f"{here.to_local},mode=max")
    here.built(ci, here.from_local, f"{here.to_local},mode=max")
    image = json.loads(ci.ok("inspect", "app"))[0]
    assert len(list((ci.root / "layers").iterdir())) == len(image["RootFS"]["Layers"])
    assert set(here.built(next_ci, here.from_local).values()) == {CACHED}
    here.edit(tool="other\n")
    found = here.built(next_ci, here.from_local)
    assert {found[step] for step in TOOLS} == {DONE}
    other = here.folder / "elsewhere"
    here.edit(tool="echo\n")
    last = here.machine("last")
    here.built(last, here.from_local, f"--cache-to=type=local,dest={other},mode=max")
    again = here.built(here.machine("again"), f"--cache-from=type=local,src={other}")
    assert set(again.values()) == {CACHED}


def test_a_newer_base_is_no_reason_to_run(here: World) -> None:
    laptop, ci = here.machine("laptop"), here.machine("ci")
    base = here.folder / "base"
    for wherry, version in ((laptop, "1"), (ci, "2")):
        cli.write_files(base, {"Dockerfile": "FROM busybox\nCOPY version /etc/\n", "version": version})
        wherry.ok("build", "-t", "base", base)
    here.edit(Dockerfile="FROM base\nCOPY app /\nRUN cat /app > /out\nRUN cat /etc/version > /seen\n")
    here.built(laptop, here.to_local)
    found = here.built(ci, here.from_local)
    assert found["COPY app /"].startswith("CACHED, REUSED")
    assert found["RUN cat /app > /out"].startswith("CACHED, REUSED")
    assert found["RUN cat /etc/version > /seen"] == DONE


def test_a_cache_of_network_results_keeps_their_age(here: World) -> None:
    laptop, ci = here.machine("laptop"), here.machine("ci")
    step = "RUN wget -q -O /dev/null http://127.0.0.1:1/; true"
    here.edit(Dockerfile=f"FROM busybox\nCOPY app /\n{step}\n")
    here.built(laptop, here.to_local)
    assert here.built(ci, here.from_local, "--refresh=1h")[step] == CACHED
    third = here.machine("third")
    assert here.built(third, here.from_local, "--refresh=0s")[step] == DONE
    assert here.built(third, here.from_local, "--refresh=1h")[step] == CACHED


@pytest.mark.needs("docker-registry", "skopeo")
def test_a_cache_in_a_registry(world: World, host: str) -> None:
    laptop, ci = world.machine("laptop"), world.machine("ci")
    name = f"{host}/cache/{world.folder.parent.name}-{world.folder.name}".lower().replace("_", "-")
    world.built(laptop, f"--cache-to=type=registry,ref={name}:v1,mode=max")
    world.edit(app="2")
    found = world.built(ci, f"--cache-from={name}:v1")
    assert _reused(found) == set(found) - {"COPY . ."}
    again = world.built(laptop, f"--cache-to=type=registry,ref={name}:v1,mode=max")
    assert again["COPY . ."] == DONE
    assert set(world.built(world.machine("third"), f"--cache-from=type=registry,ref={name}:v1").values()) == {
        CACHED
    }


@pytest.mark.needs("docker-registry", "skopeo")
def test_a_cache_in_the_image(here: World, host: str) -> None:
    laptop, ci = here.machine("laptop"), here.machine("ci")
    name = f"{host}/app/inline"
    words(laptop, here.project, "-t", name, "--cache-to", "type=inline")
    laptop.ok("push", name)
    here.edit(app="2")
    found = here.built(ci, f"--cache-from=type=registry,ref={name}")
    assert _reused(found) == set(found) - {"COPY . .", *TOOLS}
    assert found["RUN cat requirements > /installed"].startswith("CACHED, REUSED (read 1 of 5")


@pytest.mark.needs("docker-registry", "skopeo")
@pytest.mark.parametrize(("maker", "taker"), [("root", "userns"), ("userns", "root")])
def test_a_cache_goes_from_mode_to_mode(tmp_path: Path, host: str, maker: str, taker: str) -> None:
    name = f"{host}/modes/{maker}"
    with machines(maker, tmp_path / "maker") as (machine, folder):
        made = World(machine, folder)
        laptop = machine("laptop")
        made.built(laptop, f"--cache-to=type=registry,ref={name},mode=max")
        image = made.image(laptop)
    with machines(taker, tmp_path / "taker") as (machine, folder):
        taken = World(machine, folder)
        ci = machine("ci")
        assert set(taken.built(ci, f"--cache-from={name}").values()) == {CACHED}
        assert taken.image(ci) == image
        taken.edit(app="2")
        assert taken.built(machine("next"), f"--cache-from={name}")["RUN ls lib > /listing"] != DONE


def _skopeo(*words: str | Path) -> str:
    done = subprocess.run(["skopeo", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs("docker-registry", "skopeo")
def test_others_carry_the_cache_too(here: World, host: str) -> None:
    laptop, ci = here.machine("laptop"), here.machine("ci")
    here.built(laptop, f"{here.to_local},mode=max")
    name = f"{host}/carried:v1"
    _skopeo("copy", "--dest-tls-verify=false", f"oci:{here.cache}:latest", f"docker://{name}")
    raw: dict[str, Any] = json.loads(_skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
    assert raw["artifactType"] == "application/vnd.wherry.cache.v1"
    assert set(here.built(ci, f"--cache-from={name}").values()) == {CACHED}


def test_a_newer_cache_takes_the_place_of_the_older_one(here: World) -> None:
    laptop = here.machine("laptop")
    here.built(laptop, here.to_local)
    before = {path.name for path in (here.cache / "blobs/sha256").iterdir()}
    here.edit(app="2")
    here.built(laptop, here.to_local)
    index = json.loads((here.cache / "index.json").read_text())
    manifest = json.loads((here.cache / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
    named = {manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])}
    present = {path.name for path in (here.cache / "blobs/sha256").iterdir()}
    assert present == {digest[7:] for digest in named} | {index["manifests"][0]["digest"][7:]}
    assert before - present


def test_two_builds_write_to_one_folder(here: World) -> None:
    laptop, second, ci = map(here.machine, ("laptop", "second", "ci"))
    running = [
        wherry.start("build", f"{here.to_local},mode=max", here.project) for wherry in (laptop, second)
    ]
    for process in running:
        process.communicate(timeout=120)
    assert [process.returncode for process in running] == [0, 0]
    assert set(here.built(ci, here.from_local).values()) == {CACHED}


def test_caches_are_kept_apart_by_tags(here: World) -> None:
    laptop, ci = here.machine("laptop"), here.machine("ci")
    here.built(laptop, f"{here.to_local},tag=main")
    here.edit(app="2")
    here.built(laptop, f"{here.to_local},tag=work")
    assert here.built(ci, f"{here.from_local},tag=work")["COPY . ."] == CACHED
    here.edit(app="1")
    assert here.built(ci, f"{here.from_local},tag=main")["COPY . ."] == CACHED
    assert here.built(here.machine("third"), f"{here.from_local},tag=none")["COPY . ."] == DONE


@pytest.mark.parametrize("compression", ["gzip", "zstd", "uncompressed"])
def test_layers_are_compressed_as_asked(here: World, compression: str) -> None:
    laptop, ci = here.machine("laptop"), here.machine("ci")
    here.built(laptop, f"{here.to_local},mode=max,compression={compression}")
    kinds = {"gzip": "tar+gzip", "zstd": "tar+zstd", "uncompressed": "tar"}
    index = json.loads((here.cache / "index.json").read_text())
    manifest = json.loads((here.cache / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
    found = {layer["mediaType"] for layer in manifest["layers"]} - {
        "application/vnd.wherry.cache.index.v1+gzip"
    }
    assert found == {f"application/vnd.oci.image.layer.v1.{kinds[compression]}"}
    assert set(here.built(ci, here.from_local).values()) == {CACHED}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("type=local,src={folder}/nothing", "is no OCI layout: it has no index.json"),
        ("127.0.0.1:1/cache", "cannot reach 127.0.0.1:1"),
        ("type=local,src={folder}/image", "the image carries no cache"),
        ("type=local,src={folder}/foreign", "it is no cache that wherry wrote"),
    ],
)
def test_a_cache_that_is_none_is_a_warning(here: World, source: str, reason: str) -> None:
    ci = here.machine("ci")
    here.built(ci, "-o", f"type=oci,tar=false,dest={here.folder}/image")
    _foreign(here.folder / "foreign")
    third = here.machine("third")
    source = source.format(folder=here.folder)
    result = third("build", "--progress", "plain", "--cache-from", source, here.project)
    assert result.code == 0, result.err
    assert "WARNING: the cache" in result.err
    assert reason in result.err


def _foreign(folder: Path) -> None:
    """An artifact of somebody else's."""
    import hashlib

    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(document: object) -> dict[str, Any]:
        raw = json.dumps(document).encode()
        digest = hashlib.sha256(raw).hexdigest()
        (blobs / digest).write_bytes(raw)
        return {"digest": f"sha256:{digest}", "size": len(raw)}

    config = {"mediaType": "application/vnd.buildkit.cacheconfig.v0", **put({})}
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = put({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []})
    index = {"schemaVersion": 2, "manifests": [{"mediaType": kind, **manifest}]}
    (folder / "index.json").write_text(json.dumps(index))


def test_a_cache_that_cannot_be_written_fails_the_build_unless_it_may(here: World) -> None:
    laptop = here.machine("laptop")
    (here.folder / "file").write_text("")
    target = f"--cache-to=type=local,dest={here.folder}/file/cache"
    result = laptop("build", "-t", "app", target, here.project)
    assert result.code == 1
    assert "the cache was not written: cannot write" in result.err
    assert here.image(laptop)
    result = laptop("build", "--progress=plain", f"{target},ignore-error=true", here.project)
    assert result.code == 0
    assert "WARNING: the cache was not written" in result.err


def test_a_build_with_nothing_to_do_asks_no_cache(here: World) -> None:
    laptop = here.machine("laptop")
    here.built(laptop)
    result = laptop("build", "--progress=plain", "--cache-from=127.0.0.1:1/cache", here.project)
    assert (result.code, "importing" in result.err) == (0, False)
