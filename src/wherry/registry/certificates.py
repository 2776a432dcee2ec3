"""What a registry's TLS is checked by and what it is shown, host by host: docker's and podman's `certs.d`.

    certs.d/HOST[:PORT]/*.crt               authorities that are trusted for this host, beside the system's
    certs.d/HOST[:PORT]/NAME.cert NAME.key  a certificate of ours and its key, for a host that asks for one

The first of `folders()` that has the host counts (containers-certs.d(5)). A key is used for the host in whose
folder it lies and for no other: where a registry sends us on, that host's own folder is looked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from wherry.base.errors import Corrupt, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci import reference as references
from wherry.registry.hosts import is_loopback

if TYPE_CHECKING:
    from ssl import SSLContext

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class Settings(NamedTuple):
    """The TLS of one host. `authorities` and `pairs` (a certificate, its key) are paths."""

    unverified: bool = False
    authorities: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


class Trust:
    """The settings of every host. `insecure` says of a host whether it may go unverified; None: not settled.

    Where it is not settled, loopback hosts may, as with docker, unless there are authorities for them.
    """

    def __init__(self, insecure: Callable[[str], bool | None], places: Sequence[str] | None = None) -> None:
        self._insecure = insecure
        self._folders = folders() if places is None else places
        self._known: dict[str, Settings] = {}

    def of(self, host: str) -> Settings:
        """For `host[:port]` as it stands in a URL."""
        if host not in self._known:
            authorities, pairs = _listed(host, self._folders)
            insecure = self._insecure(host)
            if insecure is None:
                insecure = is_loopback(host) and not authorities
            self._known[host] = Settings(insecure, authorities, pairs)
        return self._known[host]


def system() -> Trust:
    """The system's authorities and nothing else, for all hosts."""
    return Trust(lambda _: False, ())


def folders() -> tuple[str, ...]:
    """Where `certs.d` is looked for: the user's before the system's, podman's before docker's."""
    home = os.path.expanduser("~")
    config = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return (
        f"{config}/containers/certs.d",
        f"{home}/.docker/certs.d",
        "/etc/containers/certs.d",
        "/etc/docker/certs.d",
    )


def context(settings: Settings) -> SSLContext:
    """A new TLS context. OpenSSL itself reads SSL_CERT_FILE and SSL_CERT_DIR."""
    import ssl

    if settings.unverified:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    else:
        found = _system_context()
        for path in settings.authorities:
            _load(path, partial(found.load_verify_locations, path))
    for certificate, key in settings.pairs:
        # Without a function OpenSSL would ask the terminal for the password of an encrypted key.
        _load(key, partial(found.load_cert_chain, certificate, key, lambda: ""))
    return found


def _system_context() -> SSLContext:
    """An interpreter of its own may have a default path that is not there: then one of the usual ones."""
    import ssl

    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        return ssl.create_default_context()
    return ssl.create_default_context(cafile=next(filter(os.path.exists, _BUNDLES), None))


def _load(path: str, load: Callable[[], object]) -> None:
    import ssl

    try:
        load()
    except ssl.SSLError as error:
        raise Corrupt(
            f"{path} cannot be used: {(error.reason or 'not PEM').lower().replace('_', ' ')}",
            hint="certs.d wants PEM: authorities in .crt, a client's certificate in .cert, its key without a"
            " password in the .key of the same name",
        ) from None
    except OSError as error:
        raise WherryError(f"cannot read {path} or the file beside it: {error.strerror}") from None


def _listed(host: str, places: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The authorities for `host` and our certificates for it."""
    for place in places if references.is_host(host) else ():
        folder = f"{place}/{host}"
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue  # not there, or not for us to read, as the system's may be
        authorities = tuple(f"{folder}/{name}" for name in names if name.endswith(".crt"))
        return authorities, _pairs(folder, names)
    return (), ()


def _pairs(folder: str, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    halves = {".cert": "key", ".key": "certificate"}
    for name in names:
        stem, ending = os.path.splitext(name)
        other = {".cert": ".key", ".key": ".cert"}.get(ending)
        if other and stem + other not in names:
            raise WherryError(
                f"{folder}/{name} has no {halves[ending]} beside it: {stem}{other} is missing",
                hint="an authority's certificate ends in .crt" if ending == ".cert" else "",
            )
    stems = [name.removesuffix(".cert") for name in names if name.endswith(".cert")]
    return tuple((f"{folder}/{stem}.cert", f"{folder}/{stem}.key") for stem in stems)
