"""`typing.NamedTuple`, made in a fifth of the time.

typing compiles every annotation when a class is made, and none of them is looked at again; collections
compiles a constructor for each class. A command imports a hundred of these: that would be a tenth of its
time. Here all classes with as many fields share the code of one constructor, with the names of their own
fields put into it, and everything else that does not depend on the fields. What they make is what
`collections.namedtuple` makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    from collections import _tuplegetter
    from types import CodeType, FunctionType

    _GLOBALS = {"__builtins__": {}, "new": tuple.__new__, "__name__": __name__}
    _CONSTRUCTORS: dict[int, CodeType] = {}
    """By number of fields."""

    class _Maker(type):
        """Makes a named tuple of a class's body: its annotations are the fields, what they are set to their
        defaults, all else its attributes."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body[field] for field in fields if field in body}
            if tuple(defaults) != fields[len(fields) - len(defaults) :]:
                raise TypeError(f"in {name} a field without a default follows one that has one")
            attributes = {
                **_SHARED,
                **body,
                **{field: _tuplegetter(at, None) for at, field in enumerate(fields)},
                "__new__": _constructor(body["__qualname__"], fields, tuple(defaults.values())),
                "_fields": fields,
                "_field_defaults": defaults,
                "__match_args__": fields,
                "__slots__": (),
            }
            return type(name, (tuple,), attributes)

    def _constructor(owner: str, fields: tuple[str, ...], defaults: tuple[Any, ...]) -> FunctionType:
        count, name = len(fields), f"{owner}.__new__"
        code = _CONSTRUCTORS.get(count)
        if code is None:
            names = "".join(f"a{number}, " for number in range(count))
            code = _CONSTRUCTORS[count] = eval(f"lambda cls, {names}: new(cls, ({names}))").__code__
        own = code.replace(co_varnames=("_cls", *fields), co_name="__new__", co_qualname=name)
        return FunctionType(own, _GLOBALS, "__new__", defaults)

    def _make(cls: type, values: Any) -> Any:
        made = tuple.__new__(cls, values)
        if len(made) != len(cls._fields):
            raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
        return made

    def _replace(self: Any, /, **changes: Any) -> Any:
        made = self._make(map(changes.pop, self._fields, self))
        if changes:
            raise ValueError(f"Got unexpected field names: {list(changes)!r}")
        return made

    def _asdict(self: Any) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def _repr(self: Any) -> str:
        values = (f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({', '.join(values)})"

    def _arguments(self: Any) -> tuple[Any, ...]:
        return tuple(self)

    _SHARED = {
        "_make": classmethod(_make),
        "_replace": _replace,
        "__replace__": _replace,
        "_asdict": _asdict,
        "__repr__": _repr,
        "__getnewargs__": _arguments,
    }

    class NamedTuple(metaclass=_Maker):
        """The base that such classes name; no tuple has it in its ancestry."""
