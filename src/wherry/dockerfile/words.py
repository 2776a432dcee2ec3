"""Expansion of words: variables, quotes and escapes, as the shell lexer of BuildKit's frontend does it.

Names are letters, digits and `_`; `$1`, `$@` and `$$` are looked up under those names. An unset
variable is empty. The patterns of `${x#p}` know `*`, `?` and the backslash.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from wherry.dockerfile import patterns
from wherry.dockerfile.errors import WordError
from wherry.dockerfile.lexer import SPACE

Lookup = Callable[[str], "str | None"]

# BuildKit's recursion ends with Go's memory, ours with Python's stack.
DEEPEST = 64

_PLAIN = re.compile(r"[^$'\"\\`<}/]+")
_RUNS = f"[{SPACE}]+|[^{SPACE}]+"
_NAME = re.compile(r"\w*")
_SPECIAL = "@*#?-$!0"


def expand(word: str, lookup: Lookup, escape: str = "\\") -> str:
    """`word` with its variables replaced and its quotes and escapes resolved; white space is kept.

    `lookup` gives a variable's value, None where it is unset. Raises WordError.
    """
    if not _has_meaning(word, escape):
        return word
    return _Lexer(word, lookup, escape).word()


def expand_words(word: str, lookup: Lookup, escape: str = "\\") -> list[str]:
    """The same, split at white space outside quotes, also at that which came out of a variable."""
    return _Lexer(word, lookup, escape).words()


def expand_heredoc(content: str, lookup: Lookup) -> str:
    """A heredoc's content: quotes are characters like others, and the escape is always the backslash."""
    if not _has_meaning(content, "\\"):
        return content
    return _Lexer(content, lookup, "\\", quotes=False).word()


def raw_words(line: str, *, keep_quotes: bool = True, keep_escapes: bool = True) -> list[str]:
    """A line's words with its variables left as they are written. Raises WordError."""
    lexer = _Lexer(line, _unset, "\\", keep_quotes=keep_quotes, keep_escapes=keep_escapes, keep_unset=True)
    return lexer.words()


def _unset(_name: str) -> None:
    return None


def _has_meaning(word: str, escape: str) -> bool:
    return "$" in word or "'" in word or '"' in word or escape in word


class _Words:
    """Collects what a line expands to, word by word; what was quoted or escaped never splits."""

    __slots__ = ("_open", "_parts", "done")

    def __init__(self) -> None:
        self.done: list[str] = []
        self._parts: list[str] = []
        self._open = False

    def add(self, text: str) -> None:
        for run in re.findall(_RUNS, text):
            if run[0] not in SPACE:
                self.add_quoted(run)
            elif self._open:
                self.close()

    def add_quoted(self, text: str) -> None:
        if text:
            self._parts.append(text)
            self._open = True

    def close(self) -> None:
        if self._parts:
            self.done.append("".join(self._parts))
            self._parts = []
        self._open = False


class _Lexer:
    __slots__ = (
        "_depth",
        "_escape",
        "_keep_escapes",
        "_keep_quotes",
        "_keep_unset",
        "_lookup",
        "_position",
        "_quotes",
        "_text",
    )

    def __init__(
        self,
        text: str,
        lookup: Lookup,
        escape: str,
        *,
        quotes: bool = True,
        keep_quotes: bool = False,
        keep_escapes: bool = False,
        keep_unset: bool = False,
    ) -> None:
        self._text = text
        self._position = 0
        self._depth = 0
        self._lookup = lookup
        self._escape = escape
        self._quotes = quotes
        self._keep_quotes = keep_quotes
        self._keep_escapes = keep_escapes
        self._keep_unset = keep_unset

    def word(self) -> str:
        return self._until("", None)

    def words(self) -> list[str]:
        words = _Words()
        self._until("", words)
        words.close()
        return words.done

    def _peek(self) -> str:
        """The next character, "" at the end."""
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        char = self._peek()
        self._position += 1
        return char

    def _until(self, stop: str, words: _Words | None) -> str:
        """What the text up to `stop` ("" for its end) expands to; `stop` is consumed."""
        parts: list[str] = []
        while char := self._peek():
            if char == stop:
                self._position += 1
                return "".join(parts)
            if char == "$":
                part, quoted = self._variable(), False
            elif char == "'" and self._quotes:
                part, quoted = self._single_quoted(), True
            elif char == '"' and self._quotes:
                part, quoted = self._double_quoted(), True
            elif char == self._escape:
                part, quoted = self._escaped(), True
            elif char == "<" and words is not None:
                part, quoted = self._heredoc_operator(), True
            else:
                part, quoted = self._plain(), False
            parts.append(part)
            if words is not None:
                (words.add_quoted if quoted else words.add)(part)
        if stop:
            raise WordError(f"syntax error: missing '{stop}' in ${{}}" if stop == "/" else _NO_BRACE)
        return "".join(parts)

    def _plain(self) -> str:
        run = _PLAIN.match(self._text, self._position)
        if run is None:
            return self._next()
        self._position = run.end()
        return run[0]

    def _escaped(self) -> str:
        """The character after the escape; an escape that ends the word is nothing."""
        escape = self._next()
        return (escape if self._keep_escapes else "") + self._next()

    def _heredoc_operator(self) -> str:
        """`<<` keeps the blanks behind it, so that `<< EOF` stays one word."""
        start = self._position
        if self._text.startswith("<<", start):
            self._position += 2
            while self._peek() and self._peek() in "\t\r ":
                self._position += 1
        else:
            self._position += 1
        return self._text[start : self._position]

    def _single_quoted(self) -> str:
        start = self._position
        end = self._text.find("'", start + 1)
        if end < 0:
            raise WordError("unexpected end of statement while looking for matching single-quote")
        self._position = end + 1
        return self._text[start : end + 1] if self._keep_quotes else self._text[start + 1 : end]

    def _double_quoted(self) -> str:
        """In double quotes the escape works on `"`, `$` and itself only, and else stays."""
        quote = self._next() if self._keep_quotes else self._next()[:0]
        parts = [quote]
        while char := self._peek():
            if char == '"':
                self._position += 1
                return "".join(parts) + quote
            if char == "$":
                parts.append(self._variable())
            elif char == self._escape:
                self._position += 1
                if self._keep_escapes:
                    parts.append(char)
                following = self._peek()
                if following and following in ('"', "$", self._escape):
                    char = self._next()
                if following:
                    parts.append(char)
            else:
                parts.append(self._plain())
        raise WordError("unexpected end of statement while looking for matching double-quote")

    def _variable(self) -> str:
        self._position += 1
        if self._peek() == "{":
            self._position += 1
            return self._braced()
        name = self._name()
        if not name:
            return "$"
        value = self._lookup(name)
        return f"${name}" if value is None and self._keep_unset else value or ""

    def _braced(self) -> str:
        """`${...}` after its opening brace."""
        if not self._peek():
            raise WordError(_NO_BRACE)
        if self._peek() in "{}:":
            raise WordError("syntax error: bad substitution")
        name = self._name()
        operator = self._next()
        if not operator:
            raise WordError(_NO_BRACE)
        if operator == "}":
            value = self._lookup(name)
            return f"${{{name}}}" if value is None and self._keep_unset else value or ""
        if self._depth == DEEPEST:
            raise WordError(f"${{}} inside ${{}} more than {DEEPEST} times")
        self._depth += 1
        text = self._replaced(name) if operator == "/" else self._modified(name, operator)
        self._depth -= 1
        return text

    def _modified(self, name: str, operator: str) -> str:
        strict = operator == ":"  # an empty value counts as unset
        kind = self._next() if strict else operator
        if not kind or kind not in "-+?#%":
            raise WordError(f"unsupported modifier ({':' * strict}{kind}) in substitution")
        word = self._argument("}", keep_escapes=kind in "#%")
        value = self._lookup(name)
        if value is None and self._keep_unset:
            return f"${{{name}{':' * strict}{kind}{word}}}"
        missing = value is None or (strict and not value)
        if kind == "-":
            return word if missing else value or ""
        if kind == "+":
            return "" if missing else word
        if kind == "?":
            if missing:
                state = "unset" if value is None else "empty"
                raise WordError(f"{name}: {word or f'is not allowed to be {state}'}")
            return value or ""
        longest = word.startswith(kind)
        remove = patterns.remove_prefix if kind == "#" else patterns.remove_suffix
        return remove(value or "", word[longest:], longest=longest)

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        self._position += every
        pattern = self._argument("/", keep_escapes=True)
        replacement = self._argument("}", keep_escapes=True)
        value = self._lookup(name)
        if value is None and self._keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return patterns.replace(value or "", pattern, replacement, every=every)

    def _argument(self, stop: str, *, keep_escapes: bool) -> str:
        """The word behind an operator; a pattern resolves its escapes itself."""
        before, self._keep_escapes = self._keep_escapes, keep_escapes
        word = self._until(stop, None)
        self._keep_escapes = before
        return word

    def _name(self) -> str:
        char = self._peek()
        if char and char in _SPECIAL and not char.isdigit():
            return self._next()
        found = _NAME.match(self._text, self._position)
        name = found[0] if found else ""
        if char.isdecimal():
            name = _leading(name, str.isdecimal)
        elif not name.isascii():
            # \w takes numerals such as ² too, which are neither letters nor decimal digits
            name = _leading(name, lambda c: c == "_" or c.isalpha() or c.isdecimal())
        self._position += len(name)
        return name


_NO_BRACE = "syntax error: missing '}'"


def _leading(text: str, holds: Callable[[str], bool]) -> str:
    for index, char in enumerate(text):
        if not holds(char):
            return text[:index]
    return text
