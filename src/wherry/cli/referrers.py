"""`wherry referrers`: the signatures, SBOMs and other artifacts that refer to an image."""

from __future__ import annotations

import argparse

from wherry.base.errors import UsageError
from wherry.cli.parser import add_tls_verify
from wherry.oci import digest as digests
from wherry.oci import platform as platforms
from wherry.ui import format, units

HEADERS = {
    "Digest": "DIGEST",
    "ArtifactType": "ARTIFACT TYPE",
    "MediaType": "MEDIA TYPE",
    "Size": "SIZE",
    "Annotations": "ANNOTATIONS",
    "Name": "NAME",
}


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--artifact-type", metavar="TYPE", default="", help="only artifacts of this type")
    parser.add_argument("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    parser.add_argument("--no-trunc", action="store_true", help="do not shorten digests")
    parser.add_argument(
        "--platform", metavar="OS/ARCH", help="show those of the image for a platform, not those of the index"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print digests and nothing else")
    add_tls_verify(parser)
    parser.add_argument("name", metavar="NAME[:TAG|@DIGEST]")


def run(args: argparse.Namespace) -> int:
    from wherry.registry import access
    from wherry.registry.client import Client
    from wherry.registry.referrers import referrers
    from wherry.registry.resolve import resolve
    from wherry.transfer import places

    place = places.parse(args.name)
    if place.reference is None:
        raise UsageError(
            f"{args.name}: `referrers` asks registries",
            hint="`wherry copy --referrers` brings an image there, with what refers to it",
        )
    reference = place.reference.with_default_tag()
    with Client(reference, access=access.load(args.tls_verify, args.name)) as client:
        if args.platform:
            digest = resolve(client, reference, platforms.parse(args.platform))[1].digest
        else:
            digest = client.manifest(reference.digest or reference.tag).digest
        found = referrers(client, digest, args.artifact_type)
    rows = [
        {
            "Digest": one.digest if args.no_trunc or args.format else digests.short(one.digest),
            "ArtifactType": kind,
            "MediaType": one.media_type,
            "Size": units.size(one.size),
            "Annotations": dict(one.annotations),
            "Name": f"{reference.familiar_name}@{one.digest}",
        }
        for one, kind in found
    ]
    if args.quiet:
        rows = [row | {"Digest": one.digest} for row, (one, _) in zip(rows, found, strict=True)]
    spec = "{{.Digest}}" if args.quiet and args.format in ("", "table") else args.format
    print(format.listing(spec, HEADERS, ["Digest", "ArtifactType", "Size"], rows), end="")
    return 0
