"""A registry in this process, on loopback, that can be told to fail: for tests of all that speaks to one.

    with Registry() as registry:
        registry.faults.append(Fault("GET", "/blobs/", Drop(after=1000)))
        pull(store, registry.reference("app:v1"))

It keeps everything in memory, and a log of what it was asked. The protocol is the OCI distribution-spec's,
with uploads in one piece or in many, tags and referrers by pages, and deletion; attributes switch off what a
registry may lack (`state.py`). The faults are in `faults.py`.
"""

from __future__ import annotations

from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING

from wherry.oci import reference as references
from wherry.oci.reference import Reference
from wherry.testing.faults import (
    Answer,
    Before,
    Change,
    Cut,
    Drip,
    Drop,
    Fault,
    Lost,
    Redirect,
    Relabel,
    Stall,
)
from wherry.testing.serving import Server
from wherry.testing.state import Asked, State

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = [
    "Answer",
    "Asked",
    "Before",
    "Change",
    "Cut",
    "Drip",
    "Drop",
    "Fault",
    "Lost",
    "Redirect",
    "Registry",
    "Relabel",
    "Stall",
]


class Registry(State):
    """Serves from entering to leaving a `with` block. `user` and `password`: who may use it, "" for all.

    `tokens`: passwords are traded for bearer tokens at `/token`, each good for `lifetime` seconds and for the
    scopes that it was asked for. `ranges` False: a server that knows no Range header. `tls`: in https.
    """

    def __init__(
        self,
        user: str = "",
        password: str = "",
        *,
        tokens: bool = False,
        lifetime: float = 300,
        ranges: bool = True,
        tls: SSLContext | None = None,
    ) -> None:
        super().__init__()
        self.user, self.password = user, password
        self.tokens, self.lifetime, self.ranges = tokens, lifetime, ranges
        self._server = Server(self, tls)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"

    def reference(self, name: str) -> Reference:
        """`app:v1` on this registry."""
        return references.parse(f"{self.host}/{name}").with_default_tag()

    def asked(self, method: str, part: str) -> list[Asked]:
        """The requests of `method` whose path has `part` in it, in their order."""
        return [item for item in list(self.log) if item.method == method and part in item.path]

    def __enter__(self) -> Registry:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
