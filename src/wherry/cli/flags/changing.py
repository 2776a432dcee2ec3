"""The flags of `commit` and `import` about the image that they make."""

from __future__ import annotations

import argparse


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--change",
        action="append",
        default=[],
        metavar="INSTRUCTION",
        help="a Dockerfile instruction for the image's config, such as 'CMD [\"/bin/sh\"]'; may be repeated",
    )
    parser.add_argument("-m", "--message", default="", help="a comment for the image's history")
