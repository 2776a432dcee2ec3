"""Go templates, as far as people use them in docker's `--format`.

Fields, variables, pipelines, `if`, `with` and `range` with `else`, white space trimmed by `{{-` and `-}}`,
comments, and the functions of docker and of text/template that work on text, numbers, lists and maps. What
is left out (`define`, `template`, `block`, `call`, `break`, `continue`) is refused by name.

A template is compiled to functions of a `_Scope`: pipelines give values, nodes give text. Values are those
of JSON. An absent key gives `<no value>`, as in Go's maps; but a key that begins with a capital letter is a
field of docker's documents, and its absence an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from wherry.base.errors import WherryError
from wherry.ui import functions
from wherry.ui.lexer import BadTemplate, pieces, tokens


class Template:
    """A compiled template; `render(value)` is the text for one value."""

    def __init__(self, text: str) -> None:
        self._nodes = _Parser(text).parse()

    def render(self, value: object) -> str:
        scope = _Scope(value)
        return "".join(node(scope) for node in self._nodes)


class _Scope:
    """What a name means at one place: `.`, `$` and the variables, those of the outer scope included."""

    def __init__(self, dot: object, outer: _Scope | None = None) -> None:
        self.dot = dot
        self._outer = outer
        self._variables: dict[str, object] = {} if outer else {"$": dot}

    def get(self, name: str) -> object:
        return self._owner(name)._variables[name]

    def declare(self, name: str, value: object) -> None:
        self._variables[name] = value

    def assign(self, name: str, value: object) -> None:
        self._owner(name)._variables[name] = value

    def _owner(self, name: str) -> _Scope:
        scope: _Scope | None = self
        while scope and name not in scope._variables:
            scope = scope._outer
        if scope is None:
            raise BadTemplate(f"template: the variable {name} is not set")
        return scope


_Value = Callable[[_Scope], Any]
_Node = Callable[[_Scope], str]

_REFUSED = ("define", "template", "block", "break", "continue")


class _Parser:
    """Recursive descent over the pieces between `{{` and `}}`."""

    def __init__(self, text: str) -> None:
        self._pieces = pieces(text)
        self._position = 0
        self._tokens: list[tuple[str, str]] = []

    def parse(self) -> list[_Node]:
        nodes, ending = self._nodes()
        if ending:
            raise BadTemplate(f"template: unexpected {{{{{ending}}}}}")
        return nodes

    def _nodes(self) -> tuple[list[_Node], str]:
        """Nodes up to an `end` or `else`, which is returned ("" at the end of the text)."""
        nodes: list[_Node] = []
        while self._position < len(self._pieces):
            is_action, text = self._pieces[self._position]
            self._position += 1
            if not is_action:
                nodes.append(_constant(text))
                continue
            self._tokens = tokens(text)
            word = self._tokens[0][1] if self._tokens and self._tokens[0][0] == "word" else ""
            if word in ("end", "else"):
                self._tokens.pop(0)
                return nodes, word
            nodes.append(self._action(word))
        return nodes, ""

    def _action(self, word: str) -> _Node:
        if word in _REFUSED:
            raise BadTemplate(f"template: {{{{{word}}}}} is not supported")
        if word in ("if", "with"):
            self._tokens.pop(0)
            return self._conditional(word)
        if word == "range":
            self._tokens.pop(0)
            return self._range()
        if not self._tokens:
            raise BadTemplate("template: missing value for command")
        names, declares, value = self._assignment()
        return _show(value) if not names else _set(names[0], declares, value)

    def _conditional(self, word: str) -> _Node:
        names, _, condition = self._assignment(word)
        body, ending = self._nodes()
        otherwise = self._otherwise(ending, word)

        def node(scope: _Scope) -> str:
            value = condition(scope)
            inner = _Scope(value if word == "with" and functions.truth(value) else scope.dot, scope)
            for name in names:
                inner.declare(name, value)
            return "".join(part(inner) for part in (body if functions.truth(value) else otherwise))

        return node

    def _range(self) -> _Node:
        names, _, source = self._assignment("range")
        body, ending = self._nodes()
        otherwise = self._otherwise(ending, "range")

        def node(scope: _Scope) -> str:
            pairs = functions.pairs(source(scope))
            if not pairs:
                return "".join(part(scope) for part in otherwise)
            text = []
            for key, value in pairs:
                inner = _Scope(value, scope)
                for name, item in zip(names, (value,) if len(names) == 1 else (key, value), strict=False):
                    inner.declare(name, item)
                text += [part(inner) for part in body]
            return "".join(text)

        return node

    def _otherwise(self, ending: str, word: str) -> list[_Node]:
        """The nodes of the `else` branch; `{{else if}}` is an `if` inside of it that shares its `end`."""
        if ending == "end":
            return []
        if ending == "":
            raise BadTemplate(f"template: {{{{{word}}}}} without {{{{end}}}}")
        self._skip_space()
        if self._tokens:
            chained = self._tokens.pop(0)[1]
            if chained not in ("if", "with"):
                raise BadTemplate(f"template: unexpected {chained!r} after else")
            return [self._conditional(chained)]
        nodes, ending = self._nodes()
        if ending != "end":
            raise BadTemplate(f"template: {{{{{word}}}}} without {{{{end}}}}")
        return nodes

    def _assignment(self, word: str = "") -> tuple[list[str], bool, _Value]:
        """`$a, $b := pipeline`: the variables (none: only a value), whether they are new, the value."""
        if word and not self._tokens:
            raise BadTemplate(f"template: missing value for {word}")
        marks = [text for kind, text in self._tokens if kind == "mark" and text in (":=", "=")]
        if not marks:
            return [], False, self._pipeline_to_end()
        names = []
        while True:
            kind, text = self._next()
            if kind == "variable":
                names.append(text)
            elif text in (":=", "="):
                break
            elif kind != "space" and text != ",":
                raise BadTemplate(f"template: unexpected {text!r} before {marks[0]}")
        if not 1 <= len(names) <= (2 if word == "range" else 1):
            raise BadTemplate(f"template: {len(names)} variables before {marks[0]}")
        return names, text == ":=" or bool(word), self._pipeline_to_end()

    def _pipeline_to_end(self) -> _Value:
        value = self._pipeline()
        if self._tokens:
            raise BadTemplate(f"template: unexpected {self._tokens[0][1]!r}")
        return value

    def _pipeline(self) -> _Value:
        value = self._command(None)
        while self._tokens and self._tokens[0][1] == "|":
            self._tokens.pop(0)
            value = self._command(value)
        return value

    def _command(self, piped: _Value | None) -> _Value:
        """A function with its arguments, or one operand; `piped` becomes the last argument."""
        self._skip_space()
        kind, text = self._tokens[0] if self._tokens else ("", "")
        if kind == "word" and text not in ("true", "false", "nil"):
            self._tokens.pop(0)
            return _call(text, self._operands() + ([piped] if piped else []))
        operands = self._operands()
        if not operands:
            raise BadTemplate("template: missing value for command")
        if len(operands) > 1 or piped:
            raise BadTemplate("template: a value cannot be given arguments")
        return operands[0]

    def _operands(self) -> list[_Value]:
        operands: list[_Value] = []
        while self._tokens:
            kind, text = self._tokens[0]
            if kind == "space":
                self._tokens.pop(0)
            elif text == "|" or kind == "close":
                break
            else:
                operands.append(self._operand())
        return operands

    def _operand(self) -> _Value:
        kind, text = self._next()
        if kind == "string":
            return _literal(_unquoted(text))
        if kind == "number":
            return _literal(_number(text))
        if kind == "word":
            if text in ("true", "false", "nil"):
                return _literal({"true": True, "false": False, "nil": None}[text])
            return _call(text, [])
        if kind == "field":
            return _fields(lambda scope: scope.dot, text)
        if kind == "variable":
            name, dot, path = text.partition(".")
            return _fields(lambda scope: scope.get(name), dot + path)
        if text == "(":
            inner = self._pipeline()
            closing, end = self._next()
            if closing != "close":
                raise BadTemplate("template: unclosed parenthesis")
            return _fields(inner, end[1:])
        raise BadTemplate(f"template: unexpected {text!r}")

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise BadTemplate("template: the action ends too early")
        return self._tokens.pop(0)

    def _skip_space(self) -> None:
        while self._tokens and self._tokens[0][0] == "space":
            self._tokens.pop(0)


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        raise BadTemplate(f"template: bad string {text}") from None


def _number(text: str) -> int | float:
    try:
        return int(text, 0)
    except ValueError:
        return float(text)


def _constant(text: str) -> _Node:
    return lambda _scope: text


def _literal(value: object) -> _Value:
    return lambda _scope: value


def _show(value: _Value) -> _Node:
    return lambda scope: functions.text(value(scope))


def _set(name: str, declares: bool, value: _Value) -> _Node:
    def node(scope: _Scope) -> str:
        (scope.declare if declares else scope.assign)(name, value(scope))
        return ""

    return node


def _call(name: str, operands: list[_Value]) -> _Value:
    if name in ("and", "or"):
        return _decision(name, operands)
    function = functions.find(name)
    if function is None:
        raise BadTemplate(f'template: function "{name}" not defined')

    def value(scope: _Scope) -> object:
        try:
            return function(*(operand(scope) for operand in operands))
        except (TypeError, AttributeError, ValueError):
            raise WherryError(f"template: wrong number or kind of arguments for {name}") from None

    return value


def _decision(name: str, operands: list[_Value]) -> _Value:
    """`and` and `or`: only as many operands are looked at as decide the result."""
    if not operands:
        raise BadTemplate(f"template: {name} needs arguments")

    def value(scope: _Scope) -> object:
        result: object = None
        for operand in operands:
            result = operand(scope)
            if functions.truth(result) == (name == "or"):
                break
        return result

    return value


def _fields(source: _Value, path: str) -> _Value:
    """`.A.B` of what `source` gives."""
    names = [name for name in path.split(".") if name]

    def value(scope: _Scope) -> object:
        current = source(scope)
        for name in names:
            current = _field(current, name)
        return current

    return value if names else source


def _field(value: object, name: str) -> object:
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        if not name[0].isupper():
            return None
        known = ", ".join(str(key) for key in value)
        raise WherryError(
            f"template: there is no field {name}", hint=f"the fields are {known}" if known else ""
        )
    if value is None:
        raise WherryError(f"template: there is no field {name} in an empty value")
    raise WherryError(f"template: there is no field {name} in {functions.kind(value)}")
