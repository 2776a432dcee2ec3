"""`wherry images`: one row for each name of each image, the newest first."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from wherry.base import labels
from wherry.base.errors import UsageError
from wherry.cli import facts, filters
from wherry.oci.reference import Reference
from wherry.store.images import Image
from wherry.store.store import Store
from wherry.ui import format, units

HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
}
_NONE = "<none>"
_FILTERS = ("dangling", "label", "before", "since", "reference")
_Test = Callable[[Image], bool]


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", metavar="REPOSITORY[:TAG]", nargs="?")
    parser.add_argument(
        "-a", "--all", action="store_true", help="Show all images (no intermediate ones are kept: no change)"
    )
    parser.add_argument("--digests", action="store_true", help="Show digests")
    parser.add_argument(
        "-f",
        "--filter",
        metavar="filter",
        action="append",
        default=[],
        help="Show only images that match: dangling=, label=, before=, since=, reference=",
    )
    parser.add_argument("--format", default="", help="'table', 'table TEMPLATE', 'json' or a Go template")
    parser.add_argument("--no-trunc", action="store_true", help="Do not shorten IDs")
    parser.add_argument("-q", "--quiet", action="store_true", help="Show only image IDs")
    parser.add_argument(
        "--tree", action="store_true", help="Show the platforms of each image, and the disk used"
    )


def run(args: argparse.Namespace) -> int:
    wanted = filters.parse(args.filter, _FILTERS)
    patterns = [*wanted["reference"], *([args.pattern] if args.pattern else [])]
    if args.tree and (args.quiet or args.digests or args.format):
        raise UsageError("--tree has a form of its own: -q, --digests and --format do not go with it")
    columns = ["Repository", "Tag", *(["Digest"] if args.digests else []), "ID", "CreatedSince", "Size"]
    with Store.open() as store:
        images = _chosen(store, wanted)
        if args.tree:
            from wherry.cli import imagetree

            shown = {image.id: _shown_names(store, image, patterns) for image in images}
            print(imagetree.text(store, images, shown, args.no_trunc), end="")
            return 0
        rows = [
            row
            for image in images
            for row in _rows(store, image, patterns, args.digests or "Digest" in args.format, args.no_trunc)
        ]
    spec = "{{.ID}}" if args.quiet and args.format in ("", "table") else args.format
    print(format.listing(spec, HEADERS, columns, rows), end="")
    return 0


def _chosen(store: Store, wanted: dict[str, list[str]]) -> list[Image]:
    """The newest first; of those that have one name together, the one that it means."""
    tests, behind = _tests(store, wanted), store.images.behind()
    images = [
        image for image in store.images.all() if image.id not in behind and all(test(image) for test in tests)
    ]
    return sorted(images, key=facts.created, reverse=True)


def _tests(store: Store, wanted: dict[str, list[str]]) -> list[_Test]:
    tests: list[_Test] = []
    dangling = filters.truth(wanted["dangling"], "dangling")
    if dangling is not None:
        tests.append(lambda image: dangling is not bool(store.images.names(image.id)))
    if wanted["label"]:
        tests.append(lambda image: labels.have(image.config.execution.labels, wanted["label"]))
    for name in wanted["before"]:
        tests.append(_older_than(facts.created(store.images.find(name))))
    for name in wanted["since"]:
        tests.append(_newer_than(facts.created(store.images.find(name))))
    return tests


def _older_than(moment: float) -> _Test:
    return lambda image: facts.created(image) < moment


def _newer_than(moment: float) -> _Test:
    return lambda image: facts.created(image) > moment


def _rows(
    store: Store, image: Image, patterns: list[str], digests: bool, whole: bool
) -> Iterator[dict[str, object]]:
    moment = facts.created(image)
    common = {
        "ID": facts.shown_id(image.id, whole),
        "CreatedSince": units.ago(moment),
        "CreatedAt": units.rfc3339(moment).replace("T", " ").replace("Z", " +0000 UTC"),
        "Size": units.size(facts.size(store, image)),
    }
    for repository, tag, digest in _names(store, image, patterns, digests):
        yield {"Repository": repository, "Tag": tag, "Digest": digest, **common}


def _names(store: Store, image: Image, patterns: list[str], digests: bool) -> Iterator[tuple[str, str, str]]:
    """Repository, tag and digest: a row for each tag (with `digests`: and each digest of its repository), for
    a repository that is known by digest alone, and for an image that has no name at all."""
    known: dict[str, list[str]] = {}
    for text in store.images.repo_digests(image.id):
        repository, _, digest = text.partition("@")
        known.setdefault(repository, []).append(digest)
    names = store.images.names(image.id)
    for name in names:
        if not patterns or any(matches(name, pattern) for pattern in patterns):
            for digest in (known.get(name.familiar_name) if digests else None) or [_NONE]:
                yield name.familiar_name, name.tag, digest
    if patterns:
        return
    tagged = {name.familiar_name for name in names}
    for repository in known.keys() - tagged:
        for digest in known[repository] if digests else known[repository][:1]:
            yield repository, _NONE, digest
    if not names and not known:
        yield _NONE, _NONE, _NONE


def _shown_names(store: Store, image: Image, patterns: list[str]) -> list[str]:
    """Whole names, one with a digest where a repository is known by digest alone, "" for no name at all."""
    return [
        f"{repository}{f':{tag}' if tag != _NONE else f'@{digest}'}" if repository != _NONE else ""
        for repository, tag, digest in _names(store, image, patterns, digests=False)
    ]


def matches(name: Reference, pattern: str) -> bool:
    """Whether a name fits `flask`, `flask:v*`, `localhost:5000/*`; without a tag every tag fits.

    `*` and `?` match no slash, as in Go's path.Match.
    """
    spellings = {name.familiar, name.familiar_name, str(name), name.name}
    parts = re.sub(r"\[\^", "[!", pattern).split("/")
    return any(
        len(parts) == len(words) and all(map(fnmatchcase, words, parts))
        for words in (spelling.split("/") for spelling in spellings)
    )
