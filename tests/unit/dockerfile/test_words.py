"""Expansion of words: tables written from the reference's rules, and properties against a slow matcher."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.dockerfile import patterns
from wherry.dockerfile.errors import WordError
from wherry.dockerfile.words import DEEPEST, expand, expand_heredoc, expand_words, raw_words

SET = {
    "PWD": "/home",
    "SHELL": "bash",
    "NULL": "",
    "한글": "한국어",
    "x": "xxyy",
    "path": "/usr/local/lib/libz.so.1.2",
    "file": "archive.tar.gz",
    "stars": "a***yy*",
    "blank": "one two  three",
    "quoted": 'it\'s "x"',
    "dollar": "$PWD",
    "_a1": "under",
    "1": "first",
    "12": "twelfth",
    "lines": "a\nb",
    "meta": "()[]{}^$.*?|\\x",
    "needle": "/?/",
    "http": "http://example.com",
}

EXPANSIONS = [
    # no variables, quotes or escapes
    ("", ""),
    ("hello", "hello"),
    ("hello world", "hello world"),
    ("  two  blanks  ", "  two  blanks  "),
    ("한국어", "한국어"),
    ("a#b", "a#b"),
    ("a=b", "a=b"),
    ("100%", "100%"),
    ("{}", "{}"),
    ("a}b", "a}b"),
    ("a/b/c", "a/b/c"),
    ("`date`", "`date`"),
    # quotes
    ("''", ""),
    ('""', ""),
    ("'hello'", "hello"),
    ('"hello"', "hello"),
    ("he'll'o", "hello"),
    ('he"ll"o', "hello"),
    ("'he\"llo'", 'he"llo'),
    ('"he\'llo"', "he'llo"),
    ("'a'\"b\"c", "abc"),
    ("'two words' \"and more\"", "two words and more"),
    # escapes
    (r"he\llo", "hello"),
    (r"he\\llo", r"he\llo"),
    (r"\'x\'", "'x'"),
    (r"\"x\"", '"x"'),
    (r"a\ b", "a b"),
    (r"a\nb", "anb"),
    ("end\\", "end"),
    ("\\", ""),
    (r"'he\llo'", r"he\llo"),
    (r"'a\'b", r"a\b"),
    (r'"he\llo"', r"he\llo"),
    (r'"he\"llo"', 'he"llo'),
    (r'"a\$PWD"', "a$PWD"),
    (r'"a\\b"', r"a\b"),
    (r'"a\nb"', r"a\nb"),
    (r"\$PWD", "$PWD"),
    (r"\\$PWD", r"\/home"),
    (r"\${PWD}", "${PWD}"),
    ("'$PWD'", "$PWD"),
    ("'${PWD}'", "${PWD}"),
    # plain variables
    ("$PWD", "/home"),
    ("${PWD}", "/home"),
    ("$PWD/bin", "/home/bin"),
    ("${PWD}dir", "/homedir"),
    ("$PWDdir", ""),
    ("x$PWD.y", "x/home.y"),
    ("$PWD$SHELL", "/homebash"),
    ("$NULL", ""),
    ("$UNSET", ""),
    ("a${UNSET}b", "ab"),
    ("$한글", "한국어"),
    ("${한글}", "한국어"),
    ("$_a1", "under"),
    ("${_a1}", "under"),
    ("$x²", "xxyy²"),
    ("$dollar", "$PWD"),
    ("$quoted", 'it\'s "x"'),
    ('"$quoted"', 'it\'s "x"'),
    ('"$PWD and ${SHELL}"', "/home and bash"),
    ("$lines", "a\nb"),
    # a dollar that begins nothing
    ("$", "$"),
    ("a$", "a$"),
    ("$ a", "$ a"),
    ("$.", "$."),
    ("$/x", "$/x"),
    ("cost: 5$", "cost: 5$"),
    ('"$"', "$"),
    ("$'a'", "$a"),
    # special and positional parameters are looked up by their names
    ("$1", "first"),
    ("$12", "twelfth"),
    ("$1x", "firstx"),
    ("$3", ""),
    ("${1}", "first"),
    ("$@", ""),
    ("$*", ""),
    ("$#", ""),
    ("$?", ""),
    ("$$", ""),
    ("$!", ""),
    ("$-", ""),
    ("$0", ""),
    ("$$PWD", "PWD"),
    ("${@}", ""),
    ("${#}", ""),
    ("${-}", ""),
    # ${x:-w} and ${x-w}
    ("${PWD:-w}", "/home"),
    ("${NULL:-w}", "w"),
    ("${UNSET:-w}", "w"),
    ("${PWD-w}", "/home"),
    ("${NULL-w}", ""),
    ("${UNSET-w}", "w"),
    ("${UNSET:-}", ""),
    ("${UNSET-}", ""),
    ("${UNSET:-$PWD}", "/home"),
    ("${UNSET:-${PWD}}", "/home"),
    ("${UNSET:-${UNSET:-${SHELL}}}", "bash"),
    ("${UNSET:-a b}", "a b"),
    ("${UNSET:-'a b'}", "a b"),
    ('${UNSET:-"a } b"}', "a } b"),
    (r"${UNSET:-a\}b}", "a}b"),
    ("${UNSET:-a:b-c+d}", "a:b-c+d"),
    ("${UNSET:-/a/b}", "/a/b"),
    ("${UNSET--x}", "-x"),
    ("${UNSET:--x}", "-x"),
    ('"${UNSET:-a "b" c}"', "a b c"),
    ("${한글:-w}", "한국어"),
    # ${x:+w} and ${x+w}
    ("${PWD:+w}", "w"),
    ("${NULL:+w}", ""),
    ("${UNSET:+w}", ""),
    ("${PWD+w}", "w"),
    ("${NULL+w}", "w"),
    ("${UNSET+w}", ""),
    ("${PWD:+${SHELL}}", "bash"),
    ("arm${SHELL:+-${SHELL}}.tgz", "arm-bash.tgz"),
    # ${x:?w} and ${x?w} that hold
    ("${PWD:?no}", "/home"),
    ("${PWD?no}", "/home"),
    ("${NULL?no}", ""),
    # prefixes
    ("${x#x}", "xyy"),
    ("${x#xx}", "yy"),
    ("${x#y}", "xxyy"),
    ("${x#}", "xxyy"),
    ("${x##}", "xxyy"),
    ("${x#*}", "xxyy"),
    ("${x##*}", ""),
    ("${x#?}", "xyy"),
    ("${x##?}", "xyy"),
    ("${x#*x}", "xyy"),
    ("${x##*x}", "yy"),
    ("${x#*x*y}", "y"),
    ("${x##*x*y}", ""),
    ("${x#$UNSET}", "xxyy"),
    ("${x#${x}}", ""),
    ("${path##*/}", "libz.so.1.2"),
    ("${path#*/}", "usr/local/lib/libz.so.1.2"),
    ("${path#/usr}", "/local/lib/libz.so.1.2"),
    ("${path##*.}", "2"),
    ("${path#*.}", "so.1.2"),
    (r"${meta#()[]{\}^$.\*\?|\\}", "x"),
    ("${UNSET#x}", ""),
    ("${NULL##*}", ""),
    ("${lines#*b}", ""),
    (r"${stars#a\*}", "**yy*"),
    # suffixes
    ("${x%y}", "xxy"),
    ("${x%yy}", "xx"),
    ("${x%x}", "xxyy"),
    ("${x%}", "xxyy"),
    ("${x%%}", "xxyy"),
    ("${x%*}", "xxyy"),
    ("${x%%*}", ""),
    ("${x%?}", "xxy"),
    ("${x%y*}", "xxy"),
    ("${x%%y*}", "xx"),
    ("${x%%x*}", ""),
    ("${x%x*}", "x"),
    ("${path%/*}", "/usr/local/lib"),
    ("${path%%/*}", ""),
    ("${file%.gz}", "archive.tar"),
    ("${file%.*}", "archive.tar"),
    ("${file%%.*}", "archive"),
    (r"${stars%%\**}", "a"),
    (r"${stars%\**}", "a***yy"),
    (r"${stars%%\**\*}", "a"),
    ("${UNSET%x}", ""),
    # replacements
    ("${x/x/_}", "_xyy"),
    ("${x//x/_}", "__yy"),
    ("${x/y/}", "xxy"),
    ("${x//y/}", "xx"),
    ("${x/z/_}", "xxyy"),
    ("${x//z/_}", "xxyy"),
    ("${x/x*y/_}", "_"),
    ("${x//x?/_}", "_yy"),
    ("${x//?/.}", "...."),
    ("${x/*/.}", "."),
    ("${x//*/.}", "."),
    ("${x//}/}", "xxyy"),
    ("${path//\\//-}", "-usr-local-lib-libz.so.1.2"),
    (r"${path/\/usr/}", "/local/lib/libz.so.1.2"),
    (r"${path//\//\/}", r"\/usr\/local\/lib\/libz.so.1.2"),
    ("${path//$needle/+}", "/usr/local/lib/libz.so.1.2"),
    ("${http/http:\\/\\//https:\\/\\/}", "https:\\/\\/example.com"),
    ("${x/$UNSET/w}", "wxxyy"),
    ("${x//$UNSET/w}", "wxwxwywyw"),
    ("${x///}", "xxyy"),
    ("${x/xx/$PWD}", "/homeyy"),
    ("${x//yy/${SHELL}}", "xxbash"),
    ("${x//x/$dollar}", "$PWD$PWDyy"),
    ("${file//./_}", "archive_tar_gz"),
    ("${UNSET//x/y}", ""),
    ("${UNSET///}", ""),
    ("${lines/a?b/c}", "c"),
]


@pytest.mark.parametrize(("word", "result"), EXPANSIONS)
def test_expand(word: str, result: str) -> None:
    assert expand(word, SET.get) == result


BACKTICK = [
    ("a`$b", "a$b"),
    ("a``b", "a`b"),
    ("`$PWD", "$PWD"),
    (r"\$PWD", r"\/home"),
    (r"C:\dir", r"C:\dir"),
    ('"a`"b"', 'a"b'),
    (r'"a\"', "a\\"),
    ("end`", "end"),
    ("'`'", "`"),
    (r"${UNSET:-C:\x}", r"C:\x"),
    ("${UNSET:-a`}b}", "a}b"),
]


@pytest.mark.parametrize(("word", "result"), BACKTICK)
def test_expand_with_a_backtick_as_escape(word: str, result: str) -> None:
    assert expand(word, SET.get, "`") == result


WRONG = [
    ("'", "matching single-quote"),
    ("a'b", "matching single-quote"),
    ('"', "matching double-quote"),
    ('a"b', "matching double-quote"),
    ('"a\\', "matching double-quote"),
    ('"$PWD', "matching double-quote"),
    ("${", "missing '}'"),
    ("a${PWD", "missing '}'"),
    ("${PWD:", "unsupported modifier (:)"),
    ("${PWD:-", "missing '}'"),
    ("${PWD:-a", "missing '}'"),
    ("${UNSET:-${PWD}", "missing '}'"),
    ("${UNSET:-'a}", "matching single-quote"),
    ("${x#a", "missing '}'"),
    ("${x/a", "missing '/'"),
    ("${x/a}", "missing '/'"),
    ("${x//ww}", "missing '/'"),
    ("${x//}", "missing '/'"),
    ("${x/a/b", "missing '}'"),
    ("${}", "bad substitution"),
    ("${{PWD}}", "bad substitution"),
    ("${:-w}", "bad substitution"),
    ("${ PWD}", "unsupported modifier ( )"),
    ("${PWD=w}", "unsupported modifier (=)"),
    ("${PWD:=w}", "unsupported modifier (:=)"),
    ("${PWD:w}", "unsupported modifier (:w)"),
    ("${PWD:}", "unsupported modifier (:})"),
    ("${PWD.x}", "unsupported modifier (.)"),
    ("${PWD!}", "unsupported modifier (!)"),
    ("${x#\\a}", "invalid pattern (\\a)"),
    ("${x/\\a/b}", "invalid pattern (\\a)"),
    ("${UNSET?}", "UNSET: is not allowed to be unset"),
    ("${UNSET:?}", "UNSET: is not allowed to be unset"),
    ("${NULL:?}", "NULL: is not allowed to be empty"),
    ("${UNSET?tell why}", "UNSET: tell why"),
    ("${NULL:?tell why}", "NULL: tell why"),
    ("${UNSET:?not in $PWD}", "UNSET: not in /home"),
]


@pytest.mark.parametrize(("word", "message"), WRONG)
def test_wrong_words_are_refused(word: str, message: str) -> None:
    with pytest.raises(WordError, match=re.escape(message)):
        expand(word, SET.get)


SPLITS = [
    ("", []),
    ("   ", []),
    ("a", ["a"]),
    ("a b", ["a", "b"]),
    ("  a  b\t c ", ["a", "b", "c"]),
    ("'a b' c", ["a b", "c"]),
    ('"a b" c', ["a b", "c"]),
    ("a' 'b", ["a b"]),
    (r"a\ b c", ["a b", "c"]),
    ("''", []),
    ("a '' b", ["a", "b"]),
    ("$blank", ["one", "two", "three"]),
    ('"$blank"', ["one two  three"]),
    ("a$blank.b", ["aone", "two", "three.b"]),
    ("$NULL", []),
    ("a $UNSET b", ["a", "b"]),
    ("${UNSET:-x y}", ["x", "y"]),
    ("$PWD $SHELL", ["/home", "bash"]),
    ("80 $x/udp", ["80", "xxyy/udp"]),
    ("a\u00a0b", ["a", "b"]),
    ("a\u3000b", ["a", "b"]),
    ("a\x1cb", ["a\x1cb"]),
    ("<<EOF b", ["<<EOF", "b"]),
    ("<< EOF b", ["<< EOF", "b"]),
    ("a<<\tb", ["a<<\tb"]),
    ("< a", ["<", "a"]),
]


@pytest.mark.parametrize(("word", "result"), SPLITS)
def test_expand_words(word: str, result: list[str]) -> None:
    assert expand_words(word, SET.get) == result


HEREDOCS = [
    ("plain\n", "plain\n"),
    ("$PWD\n", "/home\n"),
    ("'$PWD' \"${SHELL}\"\n", "'/home' \"bash\"\n"),
    ("it's\n", "it's\n"),
    ("\\$PWD\n", "$PWD\n"),
    ('printf "a\\nb"\n', 'printf "anb"\n'),
    ("${UNSET:-'x'}\n", "'x'\n"),
    ("`date`\n", "`date`\n"),
]


@pytest.mark.parametrize(("content", "result"), HEREDOCS)
def test_heredocs_expand_without_minding_quotes(content: str, result: str) -> None:
    assert expand_heredoc(content, SET.get) == result


RAW = [
    ("RUN <<EOF", ["RUN", "<<EOF"]),
    ("RUN $x ${y:-z} '<<EOF'", ["RUN", "$x", "${y:-z}", "'<<EOF'"]),
    (r"a\ b c", [r"a\ b", "c"]),
    ("${a/b/c} ${d#e}", ["${a/b/c}", "${d#e}"]),
    ("${a}", ["${a}"]),
]


@pytest.mark.parametrize(("line", "result"), RAW)
def test_raw_words_keep_variables_quotes_and_escapes(line: str, result: list[str]) -> None:
    assert raw_words(line) == result


def test_lookup_is_asked_for_every_name_and_only_for_names() -> None:
    asked: list[str] = []

    def lookup(name: str) -> None:
        asked.append(name)

    expand("$a ${b} ${c:-$d} '$no' \\$no ${e#${f}}", lookup)
    assert asked == ["a", "b", "d", "c", "f", "e"]


def unset(_name: str) -> None:
    return None


def test_nesting_ends_with_an_error_before_pythons_stack_does() -> None:
    def nested(depth: int) -> str:
        return "${x:-" * depth + "end" + "}" * depth

    assert expand(nested(DEEPEST), unset) == "end"
    with pytest.raises(WordError, match="inside"):
        expand(nested(100_000), unset)


PIECES = st.lists(st.sampled_from(["a", "b", "*", "?", r"\*", r"\?", "."]), max_size=6).map("".join)
VALUES = st.text("ab*?.\n", max_size=9)


def slow_match(pattern: str, value: str) -> bool:
    """Whether all of `value` matches: a regular expression with backtracking."""
    tokens = re.findall(r"\\.|.", pattern)
    regex = "".join({"*": ".*", "?": "."}.get(token, re.escape(token[-1])) for token in tokens)
    return re.fullmatch(regex, value, re.DOTALL) is not None


@given(VALUES, PIECES)
def test_prefixes_and_suffixes_are_the_shortest_and_longest_that_match(value: str, pattern: str) -> None:
    ends = [n for n in range(len(value) + 1) if slow_match(pattern, value[:n])] or [0]
    assert patterns.remove_prefix(value, pattern, longest=False) == value[ends[0] :]
    assert patterns.remove_prefix(value, pattern, longest=True) == value[ends[-1] :]
    starts = [n for n in range(len(value) + 1) if slow_match(pattern, value[n:])] or [len(value)]
    assert patterns.remove_suffix(value, pattern, longest=False) == value[: starts[-1]]
    assert patterns.remove_suffix(value, pattern, longest=True) == value[: starts[0]]


@given(VALUES, PIECES)
def test_replacement_takes_the_longest_match_at_the_first_place(value: str, pattern: str) -> None:
    spans = (
        (start, end)
        for start in range(len(value) + 1)
        for end in range(len(value), start - 1, -1)
        if slow_match(pattern, value[start:end])
    )
    start, end = next(spans, (0, 0))
    expected = value[:start] + "<>" + value[end:] if slow_match(pattern, value[start:end]) else value
    assert patterns.replace(value, pattern, "<>", every=False) == expected


@given(VALUES, PIECES)
def test_replacing_everything_is_what_re_sub_does(value: str, pattern: str) -> None:
    if pattern.strip("*?") and "*" not in pattern.replace(r"\*", ""):
        tokens = re.findall(r"\\.|.", pattern)
        regex = "".join({"?": "."}.get(token, re.escape(token[-1])) for token in tokens)
        assert patterns.replace(value, pattern, "<>", every=True) == re.sub(regex, "<>", value, flags=re.S)
    assert "\0" not in patterns.replace(value, pattern, "\0", every=True).replace("\0", "")
