"""Named tuples as JSON documents, and back by their annotations: values that are kept between commands.

A field that a document lacks gets its default, so a later version may add fields that have one.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any, TypeVar, Union, get_args, get_origin

from wherry.base.errors import Corrupt

Value = TypeVar("Value")
Decoder = Callable[[Any], Any]


def encode(value: Any) -> Any:
    """What `json.dumps` takes: a named tuple as an object, any other tuple as a list."""
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            return dict(zip(value._fields, map(encode, value), strict=True))
        return [encode(item) for item in value]
    return value


def decode(kind: type[Value], document: Any) -> Value:
    """A `kind` again. Corrupt where the document is of another form."""
    hashable: Any = kind  # which mypy does not see
    try:
        value: Value = _decoder(hashable)(document)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise Corrupt(f"not a {kind.__name__}: {error}") from None
    return value


@functools.cache
def _decoder(kind: Any) -> Decoder:
    """What an annotation means is found out once, however many values are read."""
    kind = getattr(kind, "__supertype__", kind)  # of a NewType
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decoder_of_choice(get_args(kind))
    if origin is tuple:
        return _decoder_of_tuple(get_args(kind))
    if hasattr(kind, "_fields"):
        return _decoder_of_named(kind)

    def decode_plain(document: Any) -> Any:
        if type(document) is kind:
            return document
        if type(document) is int and kind is float:
            return float(document)
        raise TypeError(f"{document!r} is no {kind.__name__}")

    return decode_plain


def _decoder_of_named(kind: Any) -> Decoder:
    decoders = {
        name: _decoder(_meaning(kind.__module__, annotation))
        for name, annotation in kind.__annotations__.items()
    }

    def decode_named(document: Any) -> Any:
        if isinstance(document, list):  # what `json.dumps` itself makes of a named tuple
            pairs = zip(decoders.values(), document, strict=False)
            return kind(*(decoder(item) for decoder, item in pairs))
        return kind(**{name: decoders[name](item) for name, item in document.items() if name in decoders})

    return decode_named


@functools.cache
def _meaning(module: str, annotation: Any) -> Any:
    """As `typing.get_type_hints`, which evaluates the same few words anew for each field."""
    return eval(annotation, vars(sys.modules[module])) if isinstance(annotation, str) else annotation


def _decoder_of_choice(kinds: tuple[Any, ...]) -> Decoder:
    (kind,) = (kind for kind in kinds if kind is not types.NoneType)
    decoder, is_optional = _decoder(kind), types.NoneType in kinds
    return lambda document: None if document is None and is_optional else decoder(document)


def _decoder_of_tuple(kinds: tuple[Any, ...]) -> Decoder:
    is_long = len(kinds) == 2 and kinds[1] is Ellipsis
    decoders = [_decoder(kind) for kind in kinds if kind is not Ellipsis]

    def decode_tuple(document: Any) -> Any:
        if not isinstance(document, list):
            raise TypeError(f"{document!r} is no list")
        if is_long:
            return tuple(map(decoders[0], document))
        return tuple(decoder(item) for decoder, item in zip(decoders, document, strict=True))

    return decode_tuple
