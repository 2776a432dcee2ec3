"""What a build is asked for: one value, the same from the command line and from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.base.tuples import NamedTuple
from wherry.oci.platform import Platform, host
from wherry.oci.reference import Reference
from wherry.runtime.spec import Conditions

if TYPE_CHECKING:
    from wherry.build.lending import Agent, Secret
    from wherry.output.annotations import Annotation


class Options(NamedTuple):
    """`context` is a folder, a URL, a git repository, or "-": an archive or a Dockerfile on standard input.

    `file` is a Dockerfile's path, "-" for standard input, "" for the context's own. In a context that is no
    folder it is a path in there, unless it is absolute.

    A build argument without a value (None) takes it from the environment variable of its name, and does
    not exist where there is none. `network` is what `RUN` without `--network` gets: host, none or private.
    `isolation` is "auto" or a mode's name (runtime/modes.py); `snapshotter` "auto", "overlay" or "copy".
    """

    context: str = "."
    file: str = ""
    tags: tuple[Reference, ...] = ()
    arguments: tuple[tuple[str, str | None], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    target: str = ""
    platforms: tuple[Platform, ...] = ()
    """Those of the image, each once; several are built into one index. None is this machine's."""
    timestamps: str = "fixed"
    """"fixed" or "keep": the times of files in layers, see `times.py`."""
    no_cache: bool = False
    uncached_stages: tuple[str, ...] = ()
    """Names or numbers of stages whose steps are executed."""
    refresh: float | None = None
    """Seconds: results that were made longer ago, by steps that used the network, are not taken."""
    exact_cache: bool = False
    """A result holds for the parent alone that it was made on, and no process is observed."""
    observes_all: bool = False
    """Also RUNs are observed that have nothing copied or mounted below them."""
    pull: bool = False
    tls_verify: bool | None = None
    """Whether registries must prove who they are; None: as the machine's configuration says."""
    host_ca: bool = False
    isolation: str = "auto"
    snapshotter: str = "auto"
    network: str = "host"
    outputs: tuple[str, ...] = ()
    """As `-o` has them: `type=tar,dest=app.tar`."""
    annotations: tuple[Annotation, ...] = ()
    """On the manifests and on the index of what is written, pushed or named."""
    jobs: int | None = None
    secrets: tuple[Secret, ...] = ()
    agents: tuple[Agent, ...] = ()
    contexts: tuple[tuple[str, str], ...] = ()
    """Named ones, name and value, as `--build-context` has them: `("src", "../src")`."""
    conditions: Conditions = Conditions()
    cache_from: tuple[str, ...] = ()
    """Caches of other machines that are asked for results, in this order: `type=local,src=cache`."""
    cache_to: tuple[str, ...] = ()
    """Where results go for other machines: `type=local,dest=cache,mode=max`."""
    squash: bool = False
    """Whether the layers that are built become one, above those of the base."""
    verify: bool = False
    """Whether every step is executed twice and the results are compared."""

    @property
    def wanted(self) -> tuple[Platform, ...]:
        """What is built for: this machine, where nothing else is said."""
        return self.platforms or (host(),)

    @property
    def platform(self) -> Platform:
        """The first one: what is asked of one platform is asked of this."""
        return self.wanted[0]
