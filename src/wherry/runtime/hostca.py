"""The host's certificate bundle for containers behind a proxy that signs its own.

The bundle is mounted below the container's `/dev`, a tmpfs in every container, and over the usual bundle
files where the image has them. So no mount point is made in the root filesystem: nothing of it can be in the
layer, its history or a digest. A bundle file cannot be replaced while it is mounted over ("device or resource
busy"), so a step that calls one of BUNDLE_MAKERS gets the bundle below `/dev` and its variables alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from wherry.base.errors import NotFound
from wherry.base.tuples import NamedTuple
from wherry.runtime.spec import Mount

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch, Gentoo
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",  # Alpine
    "/etc/pki/tls/cert.pem",
)

BUNDLE_MAKERS = ("update-ca-certificates", "update-ca-trust")
"""Programs that write those files."""

VARIABLES = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
)  # fmt: skip

INSIDE = "/dev/.wherry/ca-certificates.crt"


class HostCA(NamedTuple):
    mounts: tuple[Mount, ...]
    env: tuple[str, ...]


def host_ca(exists: Callable[[str], bool], environ: Mapping[str, str] = os.environ) -> HostCA:
    """Mounts and variables that make the host's bundle visible in a container.

    `exists` tells whether a path is a regular file in the container's root filesystem, links followed inside
    it. The bundle is the one that SSL_CERT_FILE names, else the first of the usual files; NotFound without.
    """
    source = _host_bundle(environ)
    places = (INSIDE, *(bundle for bundle in BUNDLES if exists(bundle)))
    return HostCA(
        tuple(Mount("bind", source, place, ("ro", "nosuid", "noexec")) for place in places),
        tuple(f"{name}={INSIDE}" for name in VARIABLES),
    )


def _host_bundle(environ: Mapping[str, str]) -> str:
    named = environ.get("SSL_CERT_FILE")
    for path in (named,) if named else BUNDLES:
        if os.path.isfile(path):
            return os.path.realpath(path)
    if named:
        raise NotFound(f"SSL_CERT_FILE names {named}, which is not a file")
    raise NotFound(
        "this machine has no CA bundle to share (--host-ca)",
        hint="install the package ca-certificates, or let SSL_CERT_FILE name a bundle",
    )
