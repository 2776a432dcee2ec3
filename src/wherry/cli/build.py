"""`wherry build`: an image from a Dockerfile and a folder."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from wherry.base.errors import UsageError, WherryError
from wherry.base.proxies import configured
from wherry.base.settings import ISOLATIONS, NETWORKS, SNAPSHOTTERS, Settings, load
from wherry.build.build import Built, build
from wherry.build.options import Options
from wherry.cli import conditions, ends
from wherry.cli.parser import add_tags, add_tls_verify
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.reference import Reference
from wherry.store.store import Store
from wherry.ui.progress import MODES, display

if TYPE_CHECKING:
    from wherry.build.lending import Agent, Secret
    from wherry.output.annotations import Annotation


def register(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_tags(parser)
    add(
        "-f",
        "--file",
        default="",
        help="the Dockerfile (default: the context's own): a path, a URL, or - for standard input",
    )
    add("--build-arg", action="append", default=[], metavar="NAME[=VALUE]", help="set an ARG")
    add(
        "--build-context",
        action="append",
        default=[],
        metavar="NAME=SOURCE",
        help="name a further folder, image, repository or archive for FROM and --from",
    )
    add("--label", action="append", default=[], metavar="NAME=VALUE", help="set a label of the image")
    add(
        "--secret",
        action="append",
        default=[],
        metavar="id=NAME[,src=FILE|,env=VARIABLE]",
        help="lend a secret to the steps that mount it",
    )
    add(
        "--ssh",
        action="append",
        default=[],
        metavar="default|ID[=SOCKET]",
        help="lend an ssh agent to the steps that mount it",
    )
    add("--target", default="", metavar="STAGE", help="build this stage and what it needs")
    add(
        "--platform",
        action="append",
        default=[],
        metavar="OS/ARCH[,OS/ARCH]",
        help="the platforms of the image (default: this machine's); several make an index",
    )
    add(
        "--annotation",
        action="append",
        default=[],
        metavar="[LEVEL[[PLATFORM]]:]KEY=VALUE",
        help="annotate manifests, or by LEVEL index, manifest-descriptor or index-descriptor",
    )
    add("--no-cache", action="store_true", help="execute every step")
    add(
        "--no-cache-filter",
        action="append",
        default=[],
        metavar="STAGE[,STAGE]",
        help="execute every step of these stages",
    )
    add(
        "--refresh",
        metavar="AGE",
        help="execute steps that used the network again where their result is so old: 12h, 7d, 0",
    )
    add(
        "--cache",
        default="observed",
        choices=("observed", "exact", "off"),
        help="when a result holds: observed, where all that its step looked at is the same; exact; off",
    )
    add(
        "--observe",
        default="copied",
        choices=("copied", "all"),
        help="which RUNs are observed: copied, those with something copied below them; all",
    )
    add(
        "--cache-from",
        action="append",
        default=[],
        metavar="NAME|type=TYPE,...",
        help="use another machine's results too: type=registry,ref=NAME or type=local,src=FOLDER",
    )
    add(
        "--cache-to",
        action="append",
        default=[],
        metavar="type=TYPE,...",
        help="keep the results for others: type=registry,ref=NAME, type=local,dest=FOLDER or type=inline",
    )
    add(
        "--timestamps",
        default="fixed",
        choices=("fixed", "keep"),
        help="times of files in layers: the same for all, so that images are; or keep their own",
    )
    add("--pull", action="store_true", help="ask the registry for newer base images")
    add_tls_verify(parser)
    add("-q", "--quiet", action="store_true", help="print the image ID and nothing else")
    add(
        "--progress",
        default=os.environ.get("BUILDKIT_PROGRESS", "auto"),
        metavar="MODE",
        help=f"how progress is shown: {', '.join(MODES)}",
    )
    add("--iidfile", metavar="FILE", help="write the image ID to a file")
    add("--metadata-file", metavar="FILE", help="write what was built to a file, as JSON")
    add(
        "-o",
        "--output",
        action="append",
        default=[],
        metavar="DEST",
        help="where the result goes: "
        "type=image|registry|local|tar|oci|docker|cacheonly,KEY=VALUE...; may be repeated",
    )
    add(
        "--push", action="store_true", help="push the image to the registries of its names (-o type=registry)"
    )
    add(
        "--load",
        action="store_true",
        help="put the image into the store, beside other outputs (-o type=docker)",
    )
    add("--network", metavar="NETWORK", choices=NETWORKS, help=f"the network of RUN: {', '.join(NETWORKS)}")
    conditions.register(parser)
    add("--host-ca", action="store_true", help="let RUN trust the certificate authorities of this machine")
    add("--isolation", metavar="MODE", choices=ISOLATIONS, help=f"the mode: {', '.join(ISOLATIONS)}")
    add(
        "--snapshotter",
        metavar="NAME",
        choices=SNAPSHOTTERS,
        help=f"how root filesystems are made: {', '.join(SNAPSHOTTERS)}",
    )
    add("--jobs", type=int, metavar="N", help="steps to execute at once (default: the processors)")
    add(
        "--on-failure",
        default="error",
        choices=("error", "shell"),
        metavar="ACTION",
        help="what follows a failure: error; or shell, a shell in the step, before the build ends",
    )
    add(
        "--provenance",
        default="",
        metavar="false",
        help="attestations are refused; false says that there are none",
    )
    add("--sbom", default="", metavar="false", help="as --provenance")
    add("--attest", action="append", default=[], metavar="type=TYPE,disabled=true", help="as --provenance")
    add("--squash", action="store_true", help="merge the layers that are built into one")
    add("--verify", action="store_true", help="execute every step twice and name the files that differ")
    add(
        "--call",
        metavar="METHOD[,format=FORMAT]",
        help="what is done: build, check, outline or targets; in text or json",
    )
    add("--check", action="store_true", help="lint the Dockerfile and build nothing (--call=check)")
    add("--strict", action="store_true", help="with --check: advice counts as a warning does")
    add("--format", metavar="FORMAT", help="with --check: text, json or sarif")
    add("path", metavar="PATH | URL | -")


def run(args: argparse.Namespace) -> int:
    settings = load()
    if args.provenance or args.sbom or args.attest:
        from wherry.cli import attestations

        attestations.check(args)
    options = _options(args, settings)
    if args.call or args.check or args.strict or args.format:
        from wherry.cli import call

        asked = call.asked(args)
        if asked:
            return call.run(asked, options)
    built = _built(args, options, settings.store_size)
    if args.iidfile:
        _write(args.iidfile, built.image)
    if args.metadata_file:
        _write(args.metadata_file, _metadata(built, options))
    if args.quiet:
        print(built.image)
    return 0


def _built(args: argparse.Namespace, options: Options, store_size: str) -> Built:
    if args.on_failure == "shell" and not (os.isatty(0) and os.isatty(1)):
        raise UsageError("--on-failure=shell needs a terminal", hint="enter the step later: wherry debug")
    mode = "quiet" if args.quiet else args.progress
    with ends.raised(), Store.open() as store:
        try:
            with display(mode, sys.stderr) as emit:
                built = build(store, options, emit)
        except WherryError as error:
            if args.on_failure == "shell" and error.kept:
                from wherry.cli import debug

                debug.at_once(store, error, options)
            raise
        if store_size and built.executed:
            from wherry.cli import trimming

            trimming.after_build(store, store_size, built.images, quiet=mode in ("quiet", "rawjson"))
    return built


def _options(args: argparse.Namespace, settings: Settings) -> Options:
    network = args.network or settings.network
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: at least one step has to be executed at a time")
    return Options(
        context=args.path,
        file=args.file,
        tags=tuple(map(_tag, args.tag)),
        arguments=(*configured(os.environ), *map(_argument, args.build_arg)),
        labels=tuple(map(_label, args.label)),
        target=args.target,
        platforms=platforms.parse_list(args.platform),
        timestamps=args.timestamps,
        no_cache=args.no_cache or args.cache == "off",
        uncached_stages=tuple(name for text in args.no_cache_filter for name in text.split(",")),
        refresh=_age((settings.refresh or None) if args.refresh is None else args.refresh),
        exact_cache=args.cache == "exact",
        observes_all=args.observe == "all",
        pull=args.pull,
        tls_verify=args.tls_verify,
        host_ca=args.host_ca or settings.host_ca,
        isolation=args.isolation or settings.isolation,
        snapshotter=args.snapshotter or settings.snapshotter,
        network={"default": "host"}.get(network, network),
        outputs=(*args.output, *(["type=registry"] * args.push), *(["type=docker"] * args.load)),
        annotations=_annotations(args.annotation),
        jobs=args.jobs,
        secrets=_secrets(args.secret),
        agents=_agents(args.ssh),
        contexts=_contexts(args.build_context),
        conditions=conditions.read(args, settings),
        cache_from=tuple(args.cache_from),
        cache_to=tuple(args.cache_to),
        squash=args.squash,
        verify=args.verify,
    )


def _age(text: str | None) -> float | None:
    if text is None:
        return None
    from wherry.base import ages

    seconds = ages.parse(text)
    if seconds is None:
        raise UsageError(f"--refresh {text!r}: not an age", hint=ages.FORM)
    return seconds


def _contexts(texts: list[str]) -> tuple[tuple[str, str], ...]:
    if not texts:
        return ()
    from wherry.build import named

    return tuple(map(named.parse, texts))


def _annotations(texts: list[str]) -> tuple[Annotation, ...]:
    if not texts:
        return ()
    from wherry.output import annotations

    return tuple(found for text in texts for found in annotations.of_flag(text))


def _secrets(texts: list[str]) -> tuple[Secret, ...]:
    if not texts:
        return ()
    from wherry.build import lending

    return tuple(lending.secret(text, os.environ) for text in texts)


def _agents(texts: list[str]) -> tuple[Agent, ...]:
    if not texts:
        return ()
    from wherry.build import lending

    return tuple(lending.agent(text, os.environ) for text in texts)


def _tag(text: str) -> Reference:
    reference = references.parse(text)
    if reference.digest:
        raise UsageError(f"-t {text}: a digest cannot be chosen", hint="name a tag instead")
    return reference.with_default_tag()


def _argument(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not name:
        raise UsageError(f"--build-arg {text!r} has no name", hint="write NAME=VALUE")
    return name, value if equals else None


def _label(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise UsageError(f"--label {text!r} has no name", hint="write NAME=VALUE")
    return name, value


def _metadata(built: Built, options: Options) -> str:
    import json

    document: dict[str, Any] = {
        "containerimage.config.digest": built.image,
        "containerimage.digest": built.top.digest if built.top else built.image,
    }
    if built.top:
        document["containerimage.descriptor"] = built.top.to_json()
    if options.tags:
        document["image.name"] = ",".join(map(str, options.tags))
    return json.dumps(document, indent=2) + "\n"


def _write(path: str, text: str) -> None:
    """Whole or not at all: a program that waits for the file must not read half of it."""
    unfinished = f"{path}.{os.getpid()}"
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(unfinished, path)
    except OSError as error:
        raise WherryError(f"cannot write {path}: {error.strerror}") from None
