from __future__ import annotations

from pathlib import Path

import pytest

from wherry.base.errors import NotFound
from wherry.runtime.hostca import INSIDE, host_ca


def test_mounts_only_over_what_the_image_has(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificates")
    image = {"/etc/ssl/certs/ca-certificates.crt", "/etc/passwd"}
    shared = host_ca(image.__contains__, {"SSL_CERT_FILE": str(bundle)})
    assert [mount.target for mount in shared.mounts] == [INSIDE, "/etc/ssl/certs/ca-certificates.crt"]
    assert all(mount.source == str(bundle) and "ro" in mount.options for mount in shared.mounts)
    assert f"PIP_CERT={INSIDE}" in shared.env
    assert f"NODE_EXTRA_CA_CERTS={INSIDE}" in shared.env


def test_a_named_bundle_that_is_missing_is_an_error() -> None:
    with pytest.raises(NotFound, match=r"SSL_CERT_FILE names /no/such\.pem"):
        host_ca(lambda _: False, {"SSL_CERT_FILE": "/no/such.pem"})
