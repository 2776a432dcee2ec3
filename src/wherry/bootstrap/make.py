"""`bootstrap`: a base image from the distribution's own packages, the same bytes for the same packages."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence

from wherry.base.errors import NotFound, UsageError, WherryError
from wherry.base.events import Emit, Output, Transfer, vertex
from wherry.base.events import ignore as quiet
from wherry.bootstrap import busybox, content, mmdebstrap, recipes, script, sources
from wherry.bootstrap.recipes import Recipe
from wherry.bootstrap.sources import Machine, Source
from wherry.layer.layers import Layers
from wherry.layer.writer import Layer, LayerWriter
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.config import History, ImageConfig
from wherry.oci.reference import Reference
from wherry.store.images import Image
from wherry.store.store import Store

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9]+)?(?:=[A-Za-z0-9.+~:-]+)?(?:/[a-z0-9-]+)?")


def bootstrap(
    store: Store,
    name: str,
    *,
    include: Sequence[str] = (),
    tags: Sequence[str] = (),
    emit: Emit = quiet,
) -> Image:
    """Make the base image `name` (`debian:bookworm-slim`, see recipes.py) and give it its tags.

    `include` are further packages; `tags` replace `name` as the image's name. Needs mmdebstrap, the
    machine's package archive, and root or subordinate ids. Same name and packages: same image ID.
    """
    recipe = recipes.parse(name)
    names = [references.parse(tag) for tag in (*tags,) or (name,)]
    _check_packages(recipe, include)
    mode = mmdebstrap.mode()
    here = sources.machine()
    recipe = _on_this_machine(recipe, here)
    with store.lease():
        layer, version = _make_layer(store, recipe, sources.choose(here, recipe.suite), mode, include, emit)
        return _enter(store, recipe, layer, version, include, names)


def _check_packages(recipe: Recipe, include: Sequence[str]) -> None:
    """Names only: apt would take patterns and files as well."""
    if include and recipe.family.bare:
        raise UsageError(f"{recipe.name} has no package manager: --include needs another base")
    for package in include:
        if not _PACKAGE.fullmatch(package):
            raise UsageError(f"not a package name: {package!r}")


def _on_this_machine(recipe: Recipe, here: Machine) -> Recipe:
    """The suite filled in, or a refusal where the family is another distribution's."""
    wanted, have = recipe.family.distribution, here.distribution
    if wanted and have != wanted:
        raise NotFound(
            f"this machine has the packages of {have or 'no distribution'}, not of {recipe.name}",
            hint=f"write {have}:{here.codename}" if have in recipes.FAMILIES else "",
        )
    if not (recipe.suite or here.codename):
        raise NotFound("this machine's release has no code name", hint="name the suite: debian:bookworm")
    return recipe if recipe.suite else recipe._replace(suite=here.codename)


def _make_layer(
    store: Store,
    recipe: Recipe,
    chosen: Sequence[Source],
    mode: str,
    include: Sequence[str],
    emit: Emit,
) -> tuple[Layer, str]:
    """mmdebstrap's tar stream as a layer, and the version of the family's main package."""
    version = ""

    def on_line(line: str) -> None:
        nonlocal version
        if line.startswith(script.VERSION_MARK):
            version = recipes.upstream(line.removeprefix(script.VERSION_MARK))
        elif not line.startswith("I: running --"):
            emit(Output(1, 2, f"{line}\n".encode(), time.monotonic()))

    with (
        vertex(emit, 1, f"[bootstrap] {recipe.name} from {recipe.suite}"),
        store.scratch("bootstrap") as folder,
    ):
        arguments = _arguments(recipe, mode, include, _write_sources(folder, chosen))
        with mmdebstrap.Run(arguments, on_line) as run:

            def write(writer: LayerWriter) -> None:
                if recipe.family.bare:
                    busybox.write(writer, run, folder)
                else:
                    content.write(writer, _Counted(run, emit), recipe, chosen)
                run.finish()

            try:
                layer = Layers(store).add_tar(write)
            except WherryError:
                _check_version(recipe, version)
                raise
    return layer, version


def _write_sources(folder: str, chosen: Sequence[Source]) -> str:
    """The sources as they are, logins included, in a file that only this user can read."""
    path = f"{folder}/machine.sources"
    with open(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", errors="surrogateescape"
    ) as file:
        file.write(sources.render(chosen))
    return path


# mmdebstrap's own: without it the package usrmerge comes in to make the links, and 45 MB of perl with it.
_MERGED_USR = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"


def _arguments(recipe: Recipe, mode: str, include: Sequence[str], listed: str) -> list[str]:
    family = recipe.family
    packages = (*family.packages, *include)
    skipped = ["output/dev", "check/signed-by"]
    hooks = []
    if family.main:
        hooks.append(f"--setup-hook={script.check_version(recipe)}")
        skipped.append("update")
    if not family.bare and os.path.isdir(_MERGED_USR):
        hooks.append(f"--hook-dir={_MERGED_USR}")
    if family.command:
        hooks.append(f"--customize-hook={script.in_root(family.command)}")
    return [
        "mmdebstrap",
        f"--mode={mode}",
        f"--variant={'extract' if family.bare else 'minbase'}",
        "--format=tar",
        f"--skip={','.join(skipped)}",
        *([f"--include={','.join(packages)}"] if packages else []),
        *(f"--dpkgopt={option}" for option in script.dpkg_options(recipe)),
        *mmdebstrap.login_options(),
        *hooks,
        recipe.suite,
        "-",
        listed,
    ]


class _Counted:
    """A stream that tells how much of it has been read."""

    _STEP = 8 << 20

    def __init__(self, run: mmdebstrap.Run, emit: Emit) -> None:
        self._run = run
        self._emit = emit
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        data = self._run.read(size)
        if self._done // self._STEP != (self._done + len(data)) // self._STEP:
            self._emit(Transfer(1, "layer", self._done + len(data), 0))
        self._done += len(data)
        return data


def _check_version(recipe: Recipe, version: str) -> None:
    if recipe.version and version and not recipes.matches(version, recipe.version):
        major = version.split(".")
        offered = ".".join(major[:2]) if recipe.name == "python" else major[0]
        raise NotFound(
            f"{recipe.suite} has {recipe.name} {version}, not {recipe.version}",
            hint=f"write {recipe.name}:{offered}{'-slim' if recipe.slim else ''}",
        )


def _enter(
    store: Store,
    recipe: Recipe,
    layer: Layer,
    version: str,
    include: Sequence[str],
    names: Sequence[Reference],
) -> Image:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(mmdebstrap.EPOCH))
    execution = recipe.family.execution
    if recipe.family.version_variable and version:
        execution = execution.with_env(recipe.family.version_variable, version)
    what = f"{recipe.name}{' slim' if recipe.slim else ''} from {recipe.suite}"
    packages = "".join(f" --include {package}" for package in include)
    config = ImageConfig(
        platform=platforms.host(),
        execution=execution,
        diff_ids=(layer.diff_id,),
        history=(History(created, f"wherry bootstrap: {what}{packages}"),),
        created=created,
    )
    image_id = store.images.put(config.encode())
    for name in names:
        store.images.tag(name, image_id)
    return store.images.get(image_id)
