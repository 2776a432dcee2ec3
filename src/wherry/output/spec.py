"""`-o`: the words that say where a build's result goes. They are BuildKit's."""

from __future__ import annotations

import csv
from collections.abc import Mapping

from wherry.base.errors import Unsupported, UsageError
from wherry.base.tuples import NamedTuple
from wherry.layer.packing import AS_IT_IS, Form, checked
from wherry.oci import reference as references
from wherry.oci.reference import Reference
from wherry.output import annotations as annotating
from wherry.output.annotations import Annotation

IMAGE, DOCKER, OCI, TAR, LOCAL, CACHE_ONLY = "image", "docker", "oci", "tar", "local", "cacheonly"
_REGISTRY = "registry"
_FORM = ("compression", "compression-level", "force-compression", "oci-mediatypes", "rewrite-timestamp")
_KEYS = {
    IMAGE: ("name", "push", "push-by-digest", "registry.insecure", "store", *_FORM),
    DOCKER: ("name", "dest", "tar", *_FORM),
    OCI: ("name", "dest", "tar", *_FORM),
    TAR: ("dest", "platform-split"),
    LOCAL: ("dest", "platform-split"),
    CACHE_ONLY: (),
}
_REASONS = {
    "unpack": "an image is unpacked when a step or a container needs its files",
    "name-canonical": "every image that is pushed or pulled can be called NAME@DIGEST",
    "dangling-name-prefix": "an image without a name is called by its ID",
    "oci-artifact": "there are no attestations that could be attached",
    "attestation-inline": "there are no attestations",
    "attestation-prefix": "there are no attestations",
    "buildinfo": "`wherry explain` says what a build did",
    "buildinfo-attrs": "`wherry explain` says what a build did",
    "prefer-nondist-layers": "layers are compressed into blobs that any registry may distribute",
    "context": "no docker daemon has a part in this; `wherry save NAME | docker load` hands an image to one",
    "source-date-epoch": "set the variable SOURCE_DATE_EPOCH, or --build-arg SOURCE_DATE_EPOCH",
}
"""What BuildKit takes besides: why there is none of it."""
_TYPES = (IMAGE, _REGISTRY, DOCKER, OCI, TAR, LOCAL, CACHE_ONLY)
_HINT = f"types: {', '.join(_TYPES)}; as in -o type=oci,dest=app.tar"
_TRUE, _FALSE = ("true", "1"), ("false", "0")


class Spec(NamedTuple):
    """One `-o`. `dest` is a path, `-` for standard output, or "" for the store; `tar` False: a folder.

    `push`: to the registries of the names, without their tags if `by_digest`; `insecure`: they need not prove
    who they are. `store` False: the names in the
    store stay where they are. `rewrites`: times in the image's own layers are limited to SOURCE_DATE_EPOCH.
    `split`: each platform's files in a folder of its own; None: where there may be several.
    """

    kind: str
    dest: str = ""
    names: tuple[Reference, ...] = ()
    tar: bool = True
    push: bool = False
    by_digest: bool = False
    insecure: bool = False
    store: bool = True
    rewrites: bool = False
    split: bool | None = None
    form: Form = AS_IT_IS
    annotations: tuple[Annotation, ...] = ()

    @property
    def names_in_store(self) -> bool:
        return not self.dest and self.kind in (IMAGE, DOCKER) and self.store


def parse(text: str) -> Spec:
    """`type=oci,dest=app.tar`; a path alone is type=local, `-` alone a tar on standard output.

    Unsupported for types and keys that are not done here, by name: none is passed over.
    """
    if text == "-":
        return Spec(TAR, "-")
    if "=" not in text:
        if not text:
            raise UsageError("-o without a destination", hint=_HINT)
        return Spec(LOCAL, text)
    fields = _fields(text)
    kind = fields.pop("type", "")
    if not kind:
        raise UsageError(f"-o {text}: type= is missing", hint=_HINT)
    if kind == _REGISTRY:
        kind, fields["push"] = IMAGE, "true"
    if kind not in _KEYS:
        raise Unsupported(f"no output type {kind!r}", hint=_HINT)
    for key, value in fields.items():
        _check(kind, key, value)
    spec = _spec(kind, fields)
    _check_together(spec, fields)
    return spec


def _fields(text: str) -> dict[str, str]:
    """`key=value` pairs between commas; a pair in double quotes may hold commas, as in CSV."""
    fields: dict[str, str] = {}
    for pair in next(csv.reader([text], skipinitialspace=True), []):
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not key.lower().startswith(annotating.PREFIX):
            key = key.lower()
        if not equals:
            raise UsageError(f"-o {text}: {pair!r} is not key=value", hint=_HINT)
        if key in fields:
            raise UsageError(f"-o {text}: {key!r} is there twice")
        fields[key] = value
    return fields


def _check(kind: str, key: str, value: str) -> None:
    if key in _KEYS[kind] or (_is_annotation(key) and kind in (IMAGE, OCI)):
        return
    if key in _REASONS:
        if value.lower() in _FALSE:
            return  # what it turns off is off
        raise Unsupported(f"{key}={value} is not supported", hint=_REASONS[key])
    known = ", ".join((*sorted(_KEYS[kind]), *(("annotation.KEY",) if kind in (IMAGE, OCI) else ())))
    hint = f"it takes: {known}" if known else "it takes nothing"
    raise Unsupported(f"the output type {kind} takes no {key!r}", hint=hint)


def _is_annotation(key: str) -> bool:
    return key.startswith((f"{annotating.PREFIX}.", f"{annotating.PREFIX}-", f"{annotating.PREFIX}["))


def _spec(kind: str, fields: Mapping[str, str]) -> Spec:
    return Spec(
        kind,
        fields.get("dest", ""),
        _names(fields.get("name", "")),
        _flag(fields, "tar", True),
        _flag(fields, "push", False) or _flag(fields, "push-by-digest", False),
        _flag(fields, "push-by-digest", False),
        _flag(fields, "registry.insecure", False),
        _flag(fields, "store", True),
        _flag(fields, "rewrite-timestamp", False),
        _flag(fields, "platform-split", False) if "platform-split" in fields else None,
        _form(fields),
        tuple(annotating.parse(key, value) for key, value in fields.items() if _is_annotation(key)),
    )


def _form(fields: Mapping[str, str]) -> Form:
    level = fields.get("compression-level", "")
    return checked(
        Form(
            fields.get("compression", ""),
            _number("compression-level", level) if level else None,
            _flag(fields, "force-compression", False),
            _flag(fields, "oci-mediatypes", True) if "oci-mediatypes" in fields else None,
        )
    )


def _check_together(spec: Spec, fields: Mapping[str, str]) -> None:
    if spec.kind in (OCI, TAR, LOCAL) and not spec.dest:
        raise UsageError(f"the output type {spec.kind} needs dest=PATH", hint=_HINT)
    if spec.dest == "-" and (spec.kind == LOCAL or not spec.tar):
        raise UsageError("a folder cannot be written to standard output", hint="name it: dest=FOLDER")
    if spec.kind == DOCKER and (not spec.tar or not spec.dest):
        if not spec.tar:
            raise Unsupported("a docker archive is a tar", hint="-o type=oci,tar=false writes a layout")
        if chosen := [key for key in _FORM if key in fields]:
            raise UsageError(
                f"{chosen[0]} without dest=: the store has layers as they are", hint="-o type=image takes it"
            )
    if not spec.store and not spec.push:
        raise UsageError(
            "store=false without push=true: the image would go nowhere", hint="-o type=cacheonly"
        )
    if spec.annotations and spec.form.oci is False:
        raise UsageError(
            "docker's manifests have no annotations: they and oci-mediatypes=false contradict each other",
            hint="leave one of them out",
        )


def _flag(fields: Mapping[str, str], key: str, default: bool) -> bool:
    value = fields.get(key, "").lower()
    if key not in fields:
        return default
    if value not in (*_TRUE, *_FALSE):
        raise UsageError(f"{key}={value}: write true or false")
    return value in _TRUE


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise UsageError(f"{key}={text}: not a number")
    return int(text)


def _names(text: str) -> tuple[Reference, ...]:
    found = [references.parse(name).with_default_tag() for name in text.split(",") if name]
    for reference in found:
        if reference.digest:
            raise UsageError(f"name={reference.familiar}: a digest cannot be chosen, only a tag")
    return tuple(found)
