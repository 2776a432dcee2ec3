"""`--provenance`, `--sbom` and `--attest`, docker's: there are none, and that is all they may ask for."""

from __future__ import annotations

import argparse

from wherry.base.errors import Unsupported
from wherry.build.pairs import pairs

_KINDS = ("provenance", "sbom")


def check(args: argparse.Namespace) -> None:
    """Unsupported for whatever would be attested; UsageError for what `--attest` does not understand."""
    for kind in _KINDS:
        value = getattr(args, kind)
        if value not in ("", "false"):
            raise _refused(f"--{kind}={value}", kind)
    for text in args.attest:
        given = pairs("--attest", text)
        if given.get("disabled") != "true":
            raise _refused(f"--attest {text}", given.get("type", ""))


def _refused(words: str, kind: str) -> Unsupported:
    flag = f"--{kind}=false" if kind in _KINDS else f"{words},disabled=true"
    return Unsupported(
        f"{words}: this version attests nothing about an image",
        hint=f"leave it out, or say {flag}; `wherry explain` and `wherry history` say what it was made of",
    )
