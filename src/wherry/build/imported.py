"""`import`: an image of one layer, the tar of a root file system, with a config of Dockerfile instructions.

The stream is kept as it is, without its compression: the same archive gives the same image everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from wherry.base.errors import Corrupt, UsageError, WherryError
from wherry.build import plan as planning
from wherry.build import scope, times
from wherry.build.origins import Wanted
from wherry.build.remote.archive import Incoming
from wherry.dockerfile import parser
from wherry.dockerfile.typed import program
from wherry.layer.layers import Layers
from wherry.oci import platform as platforms
from wherry.oci.config import Execution, History, ImageConfig
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.store.images import Image
from wherry.store.store import Store

CHANGES = (
    *("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL"),
    *("ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
)
"""The instructions that say something of the config and make no files: docker takes the same."""

_BASE = "base"


def import_tar(
    store: Store,
    stream: BinaryIO,
    label: str,
    *,
    changes: Sequence[str] = (),
    message: str = "",
    platform: Platform | None = None,
) -> Digest:
    """Enter the image whose files are the tar `stream`, compressed or not; its ID.

    `label` names the stream in errors. `changes` are instructions of `CHANGES`; `message` is its history's
    comment. Callers hold the store's lease.
    """
    platform = platform or platforms.host()
    execution = changed(changes, platform)
    incoming = Incoming(stream, label)
    if not incoming.is_archive:
        raise WherryError(f"{label} is not a tar archive", hint="`wherry export` writes what can be imported")
    try:
        layer = Layers(store).add_stream(incoming, extract=False)  # type: ignore[arg-type]  # it reads
    except Corrupt as error:
        raise Corrupt(f"{label}: {error.message}", hint=error.hint) from None
    created = times.rfc3339(times.epoch())
    config = ImageConfig(
        platform=platform,
        execution=execution,
        diff_ids=(layer.diff_id,),
        history=(History(created, "wherry import", comment=message),),
        created=created,
    )
    return store.images.put(config.encode())


def changed(changes: Sequence[str], platform: Platform, execution: Execution | None = None) -> Execution:
    """`execution`, or else that of an image FROM scratch, with what `changes` say; UsageError for what is no
    instruction of `CHANGES`."""
    for change in changes:
        _check(change)
    dockerfile = parser.parse(
        "\n".join((f"FROM {_BASE if execution else 'scratch'}", *changes, "")), "--change"
    )
    given = execution or Execution()
    base = ImageConfig(platform, given._replace(onbuild=()))

    def find_image(name: str, *_: object) -> Image:
        if name != _BASE or execution is None:
            raise UsageError(f"--change cannot take anything from the image {name}")
        return Image(Digest(""), base, 0, None)

    wanted = Wanted("", platform, scope.Arguments({}, {}), find_image)
    planned = planning.plan(dockerfile, wanted).aims[0].execution
    return planned._replace(onbuild=(*given.onbuild, *planned.onbuild))


def _check(change: str) -> None:
    try:
        stages = program(parser.parse(f"FROM scratch\n{change}\n", "--change")).stages
    except WherryError as error:
        raise UsageError(f"--change {change}: {error.message}", hint=error.hint) from None
    words = change.split(None, 1)
    if len(stages) != 1 or len(stages[0].instructions) != 1 or words[0].upper() not in CHANGES:
        raise UsageError(f"--change {change}: not one of the instructions {', '.join(CHANGES)}")
