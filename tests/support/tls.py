"""Certificates that nobody trusts until they are told to."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def certificate(folder: Path) -> Path:
    """A certificate for localhost, signed by itself, with its key behind it."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_bytes((folder / "certificate.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


def context(certificate: Path) -> ssl.SSLContext:
    """What a server's socket is wrapped with."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(certificate)
    return found


class Authority:
    """Signs certificates that are good for two days. Its own is `certificate`; all lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = folder / "ca.pem", folder / "ca.key"
        _openssl(
            *[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
            ],
            *("/CN=authority of the tests", "-keyout", self._key, "-out", self.certificate),
        )

    def sign(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """A certificate and its key, for a server on these hosts and addresses or for a client."""
        certificate, key, request = (self.folder / f"{name}.{end}" for end in ("cert", "key", "csr"))
        _openssl(
            *["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
            *("-subj", f"/CN={name}", "-keyout", key, "-out", request),
        )
        names = [f"{'IP' if host[0].isdigit() else 'DNS'}:{host}" for host in hosts]
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName={','.join(names)}\n" if names else "extendedKeyUsage=clientAuth\n"
        )
        _openssl(
            *("x509", "-req", "-days", "2", "-in", request, "-out", certificate, "-extfile", extensions),
            *("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
        )
        return certificate, key


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
