"""Named contexts, `--build-context NAME=VALUE`: images and trees that stand for what a Dockerfile calls NAME.

Names are compared as BuildKit compares them: `alpine`, `docker.io/library/alpine` and `alpine:latest` are
one. `NAME::PLATFORM` is for one platform alone and goes before `NAME`. `scratch` and `context` mean what they
always mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial

from wherry.base.errors import Location, NotFound, Unsupported, UsageError, WherryError
from wherry.base.tuples import NamedTuple
from wherry.build import definition as definitions
from wherry.build.bases import LAYOUT, Bases
from wherry.build.context import Context
from wherry.build.filedigests import FileDigests
from wherry.build.legible import redacted
from wherry.build.origins import Named
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.config import ImageConfig
from wherry.oci.platform import Platform
from wherry.store.images import Image
from wherry.store.store import Store

IMAGE, IN_LAYOUT, FOLDER, GIT, URL = "image", "layout", "folder", "git", "url"

_DOCKER_IMAGE = "docker-image://"
_RESERVED = ("scratch", "context")
_KINDS = "a context is a folder, docker-image://, oci-layout://, a git URL or the URL of a tar archive"


class Value(NamedTuple):
    """`kind` is one of the constants above; `text` is as given, of an image its name alone."""

    kind: str
    text: str


class Contexts:
    """The values by their names. Of several for one name the last one counts, as for buildx."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values = {_checked_name(name): _value(name, text) for name, text in pairs}

    def name(self, wanted: str, platform: Platform) -> str:
        """The name under which there is a context for what a Dockerfile calls `wanted`; "" where none is."""
        if wanted.lower() in _RESERVED:
            return ""
        try:
            plain = canonical(wanted)
        except WherryError:
            return ""  # no name of an image, so no name of a context
        names = (f"{plain}::{platform}", plain)
        return next((name for name in names if name in self._values), "")

    def value(self, name: str) -> Value:
        return self._values[name]

    def folder(self, name: str, store: Store) -> Context:
        """The context of that name, a folder of this machine with its own ignore file."""
        path = self._values[name].text
        root = os.path.realpath(path)
        ignored = definitions.ignored_in(path)
        return Context(root, ignored, FileDigests(store.path("cache"), root), f"context {name!r}")

    def find(self, bases: Bases, wanted: str, platform: Platform) -> Named | None:
        """As planning asks for it: with what loads the image, where it is one."""
        name = self.name(wanted, platform)
        if not name:
            return None
        value = self._values[name]
        if value == Value(IMAGE, "scratch"):
            return Named("scratch")
        if value.kind not in (IMAGE, IN_LAYOUT):
            return Named(name)
        return Named(name, partial(_image, bases, value))


def config_in_layout(text: str, platform: Platform) -> ImageConfig | None:
    """The config of the image that `oci-layout://...` means, without loading it; None where there is none."""
    from wherry.output import layoutimage

    try:
        return layoutimage.config(layoutimage.place(text.removeprefix(LAYOUT)), platform)
    except WherryError:
        return None


def _image(bases: Bases, value: Value, where: Location | None, platform: Platform) -> Image:
    find = bases.find_in_layout if value.kind == IN_LAYOUT else bases.find
    return find(value.text, where, platform)


def parse(text: str) -> tuple[str, str]:
    """`NAME=VALUE` of the command line. Raises UsageError."""
    name, _, value = text.partition("=")
    if not (name and value):
        raise UsageError(
            f"--build-context {redacted(text)!r} is not NAME=VALUE", hint="write --build-context src=../src"
        )
    return name, value


def canonical(name: str) -> str:
    """The one form of an image's name. Raises WherryError where it is none."""
    return references.parse(name).familiar.removesuffix(f":{references.DEFAULT_TAG}")


def _checked_name(text: str) -> str:
    name, separator, platform = text.partition("::")
    try:
        if name.lower() in _RESERVED:
            raise UsageError(f"{name!r} is reserved and cannot be replaced")
        return canonical(name) + (f"::{platforms.parse(platform)}" if separator else "")
    except WherryError as error:
        raise UsageError(f"--build-context {text}: {error.message}", hint=error.hint) from None


def _value(name: str, text: str) -> Value:
    if text.startswith(_DOCKER_IMAGE):
        return Value(IMAGE, text.removeprefix(_DOCKER_IMAGE))
    if text.startswith(LAYOUT):
        return Value(IN_LAYOUT, text)
    if remote := _remote(text):
        return remote
    scheme, separator, _ = text.partition("://")
    if separator or text.startswith(("target:", "input:", "local:")):
        scheme = scheme.partition(":")[0]
        raise Unsupported(
            f"--build-context {name}={redacted(text)}: {scheme}: is no kind of context that wherry knows",
            hint=_KINDS,
        )
    if not os.path.isdir(text):
        what = "that is no folder" if os.path.exists(text) else "there is no such folder"
        raise NotFound(f"--build-context {name}={text}: {what}", hint=_KINDS)
    return Value(FOLDER, text)


def _remote(text: str) -> Value | None:
    if not any(sign in text for sign in (":", "#", "github.com/")):
        return None
    from wherry.build.remote import address

    if os.path.isdir(text):
        return None
    if address.repository(text, local=True) is not None:
        return Value(GIT, text)
    return Value(URL, text) if address.is_url(text) else None
