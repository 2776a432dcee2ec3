"""Here-documents of RUN, COPY and ADD: `<<EOF`, `<<-EOF`, `<<'EOF'`, several in one instruction."""

from __future__ import annotations

import re

from wherry.base.tuples import NamedTuple
from wherry.dockerfile.errors import WordError
from wherry.dockerfile.words import raw_words

_OPENER = r"[0-9]*<<(-?)[\t\n\f\r ]*([^<]*)\Z"
_TABS = r"(?m)^\t+"


class Heredoc(NamedTuple):
    """`expand`: no part of the name was quoted. `chomp`: `<<-`; `content` still has its leading tabs."""

    name: str
    content: str = ""
    expand: bool = True
    chomp: bool = False

    def text(self) -> str:
        """The content, without its leading tabs where `<<-` asked for that."""
        return re.sub(_TABS, "", self.content) if self.chomp else self.content

    def ends_at(self, line: str) -> bool:
        line = line.rstrip("\r")
        return (line.lstrip("\t") if self.chomp else line) == self.name


def opener(word: str) -> Heredoc | None:
    """The heredoc, still empty, that one word opens. Raises WordError where its quotes are wrong."""
    match = re.match(_OPENER, word)
    if match is None or not match[2]:
        return None
    plain = raw_words(match[2], keep_quotes=False, keep_escapes=False)
    if len(plain) != 1:
        return None
    quoted = raw_words(match[2], keep_escapes=False)
    return Heredoc(
        name=plain[0],
        expand=len(quoted) == 1 and _quotes(plain[0]) == _quotes(quoted[0]),
        chomp=match[1] == "-",
    )


def openers(line: str) -> list[Heredoc]:
    """The heredocs that an instruction's line opens, in order; a line that is no list of words has none."""
    if "<<" not in line:
        return []
    try:
        words = raw_words(line)
    except WordError:
        return []
    return [found for word in words if "<<" in word and (found := opener(word))]


def _quotes(word: str) -> int:
    return word.count("'") + word.count('"')
