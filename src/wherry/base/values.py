"""Named tuples as JSON documents, and back by their annotations: values that are kept between commands.

A field that a document lacks gets its default, so a later version may add fields that have one.
"""

from __future__ import annotations

import functools
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from wherry.base.errors import Corrupt

Value = TypeVar("Value")


def encode(value: Any) -> Any:
    """What `json.dumps` takes: a named tuple as an object, any other tuple as a list."""
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            return dict(zip(value._fields, map(encode, value), strict=True))
        return [encode(item) for item in value]
    return value


def decode(kind: type[Value], document: Any) -> Value:
    """A `kind` again. Corrupt where the document is of another form."""
    try:
        value: Value = _decode(kind, document)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise Corrupt(f"not a {kind.__name__}: {error}") from None
    return value


def _decode(kind: Any, document: Any) -> Any:
    kind = getattr(kind, "__supertype__", kind)  # of a NewType
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_choice(get_args(kind), document)
    if origin is tuple:
        return _decode_tuple(get_args(kind), document)
    if hasattr(kind, "_fields"):
        hints = _hints(kind)
        if isinstance(document, list):  # what `json.dumps` itself makes of a named tuple
            return kind(
                *(_decode(hints[name], item) for name, item in zip(kind._fields, document, strict=False))
            )
        return kind(**{name: _decode(hints[name], item) for name, item in document.items() if name in hints})
    if type(document) is int and kind is float:
        return float(document)
    if type(document) is not kind:
        raise TypeError(f"{document!r} is no {kind.__name__}")
    return document


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode_choice(kinds: tuple[Any, ...], document: Any) -> Any:
    if document is None and types.NoneType in kinds:
        return None
    (kind,) = (kind for kind in kinds if kind is not types.NoneType)
    return _decode(kind, document)


def _decode_tuple(kinds: tuple[Any, ...], document: Any) -> Any:
    if not isinstance(document, list):
        raise TypeError(f"{document!r} is no list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_decode(kinds[0], item) for item in document)
    return tuple(_decode(kind, item) for kind, item in zip(kinds, document, strict=True))
