"""A build as it is kept: where each of its steps began, so that one may stand there again (`build/debug.py`).

Values; they are written in `keeping.py`, and found again in `picking.py`.
"""

from __future__ import annotations

from wherry.base.errors import Location
from wherry.base.tuples import NamedTuple
from wherry.build.step import Copy, Run
from wherry.oci.digest import Digest
from wherry.runtime.spec import Conditions

FAILED, CACHED, DONE = "failed", "cached", "done"


class Place(NamedTuple):
    """Where a step began.

    `run` is its process; of a step that has none, one without words in the same surroundings. `parent` and
    `inputs` are the chains that it stands on, None where the build did not come so far. `state` is failed,
    cached, done or "", and kept apart from the rest. `shell` is that of SHELL, if there is one.

    `kind` is the name of its operation, `needs` are the numbers of its parent and its inputs, `copy` what a
    COPY or ADD does, `arguments` are the names of its variables that are build arguments.
    """

    name: str
    where: Location | None
    platform: str
    run: Run
    shell: tuple[str, ...] = ()
    parent: tuple[Digest, ...] | None = None
    inputs: tuple[tuple[Digest, ...], ...] = ()
    state: str = ""
    kind: str = ""
    needs: tuple[int, ...] = ()
    copy: Copy | None = None
    arguments: tuple[str, ...] = ()


class Failure(NamedTuple):
    """How a step failed: `number` is its place in `Plan.steps`, `code` its process's exit code, if it had
    one; `log` is the file with its output; `withheld` are files of its that hold a secret."""

    number: int
    why: str
    code: int | None = None
    log: str = ""
    withheld: tuple[str, ...] = ()


class Build(NamedTuple):
    """`file` is the Dockerfile's path or name; `names` are those of the image, `image` is its ID. Where it is
    for several platforms, `ends` are the numbers of the steps whose results the images are."""

    context: str
    file: str
    names: tuple[str, ...]
    places: tuple[Place, ...]
    host_ca: bool = False
    network: str = "host"
    isolation: str = "auto"
    snapshotter: str = "auto"
    conditions: Conditions = Conditions()
    image: str = ""
    ends: tuple[int, ...] = ()
    failure: Failure | None = None
