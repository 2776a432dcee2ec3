"""`--compression` and its like: in what form layers leave the machine."""

from __future__ import annotations

import argparse

from wherry.base.errors import UsageError
from wherry.layer.packing import Form, checked


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compression", default="", metavar="KIND", help="how layers are packed: gzip, zstd or uncompressed"
    )
    parser.add_argument("--compression-level", metavar="N", help="how much: gzip 0 to 9, zstd 0 to 22")
    parser.add_argument(
        "--force-compression", action="store_true", help="compress layers anew that came in another way"
    )


def read(args: argparse.Namespace) -> Form:
    level = args.compression_level
    if level is not None and not (level.isascii() and level.isdigit() and len(level) < 4):
        raise UsageError(f"--compression-level {level}: not a number")
    return checked(Form(args.compression, None if level is None else int(level), args.force_compression))
