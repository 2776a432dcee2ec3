"""Ignore files: tables from the reference's rules, and a property against the rules taken word by word."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.linear import assert_linear
from wherry.dockerfile.errors import DockerfileError
from wherry.dockerfile.ignore import Patterns

# pattern, paths that it excludes, paths that it does not
ONE_PATTERN = [
    ("file", "file file/below file/deep/below", "other files fil a/file"),
    ("/file", "file file/below", "a/file"),
    ("//file", "file", "a/file"),
    ("./file", "file", "a/file"),
    ("a/../file", "file", "a/file a"),
    ("file/", "file file/below", "a/file"),
    ("file//", "file file/below", "a/file"),
    ("a/b", "a/b a/b/c", "a b a/bc c/a/b"),
    ("a//b", "a/b", "a"),
    ("a/./b", "a/b", "a"),
    ("  file  ", "file", "a"),
    ("../file", "", "file a"),
    ("/", "", "a a/b"),
    (".", "", "a a/b"),
    # stars
    ("*", "a a.txt a/b .hidden", ""),
    ("*.go", "a.go .go a.go/x", "a.gox a/b.go"),
    ("*c", "abc c", "cd a/c"),
    ("a*", "a ab a.b ab/c a/c", "ba b/a"),
    ("a*/b", "a/b abc/b abc/b/c", "a/c/b b a"),
    ("a*b*c*d*e*/f", "axbxcxdxe/f axbxcxdxexxx/f", "axbxcxdxe/xxx/f axbxcxdxexxx/fff"),
    ("a*b?c*x", "abxbbxdbxebxczzx", "abxbbxdbxebxczzy"),
    ("*x", "xxx x", "xxy"),
    ("a*b", "ab axb a*b", "a/b"),
    ("*/b", "a/b a/b/c", "b a/c/b a"),
    ("*/*/c", "a/b/c", "a/c a/b/d/c"),
    ("dist/*.whl", "dist/a-1+b.whl", "dist/x/a.whl a.whl"),
    ("*.*", "a.b .b a.", "a"),
    ("a*a", "aa aba", "a ab"),
    # question marks
    ("a?b", "axb a?b aéb", "ab a/b axxb"),
    ("abc?def", "abcZdef", "abcdef"),
    ("???", "abc abc/d", "ab abcd a/c"),
    ("?", "a a/b", "ab"),
    # two stars
    ("**", "a a/b a/b/c .x", ""),
    ("**/", "a a/b", ""),
    ("**/**", "a a/b", ""),
    ("**/a", "a b/a b/c/a a/x b/a/x", "b ba b/ba"),
    ("**/.foo", ".foo bar/.foo", "bar.foo"),
    ("**/foo/bar", "foo/bar d/foo/bar d/e/foo/bar", "foo bar foo/x/bar"),
    ("**/dir2/*", "dir/dir2/file dir2/file dir2/a/b", "dir2 dir/dir2"),
    ("**/dir2/**", "dir/dir2/dir3/file dir2/x", "dir2 dir/dir2"),
    ("**/*.txt", "a.txt d/a.txt d/e/a.txt", "a.txtx d/a"),
    ("**/**/*.txt", "a.txt d/a.txt d/e/a.txt", "a.txt2"),
    ("**/file*", "file.txt a/b/file", "afile"),
    ("**/file*txt", "d/d/file.txt", "d/file.txtx"),
    ("**/file*.txt*", "d/file.txt.gz", "d/file"),
    ("**file", "file d/file d/xfile xfile xfile/below", "filex d/filex"),
    ("**/a/b", "a/b x/a/b", "ab xa/b"),
    ("**a/b", "a/b x/a/b xa/b", "b"),
    ("**.py", "a.py d/a.py .py", "a.pyc"),
    ("**x*", "x xa d/xa", "ax d/ax"),
    ("a/**", "a/b a/b/c", "a ab b/a/b"),
    ("a**", "a ab a/b abc/d", "b b/a"),
    ("a/**/b", "a/b a/x/b a/x/y/b a/b/c", "b a ab a/xb"),
    ("a**/*.txt", "a/f.txt a/d/f.txt a/d/e/f.txt af.txt ab/f.txt", "b/f.txt a/f.txtx"),
    ("a/*.txt", "a/f.txt", "a/d/f.txt"),
    ("a/*.txt**", "a/f.txt a/f.txtx", "a/f"),
    ("a**b", "ab a/b ax/b/c a/x/b", "axb b"),
    ("a*/**/b", "a/b ax/b ax/y/z/b", "b a"),
    ("**/a*/**/b*", "a/b x/ax/y/bz", "b x/b"),
    ("***", "a a/b", ""),
    # classes
    ("a[b-d]e", "ace abe ade", "ae aae afe aeee"),
    ("a[^b-d]e", "aze aae", "ace abe"),
    ("ab[c]", "abc", "ab abd"),
    ("[a-c]*", "a bx c.txt", "d"),
    ("[abc]/x", "a/x b/x", "d/x x"),
    (r"[\]a]", "] a", "b"),
    (r"[\-x]", "- x", "a"),
    (r"[x\-]", "- x", "z"),
    ("[a-ζ]*", "α b", "A"),
    ("[[]", "[", "]"),
    ("**/[Bb]in", "bin a/Bin a/bin/x", "binx a/din"),
    ("a[^x]b", "a/b ayb", "axb ab"),
    ("[!a]", "! a", "b"),
    ("[.]git", ".git", "xgit"),
    # escapes and characters that mean something to regular expressions
    (r"a\*b", "a*b", "axb ab"),
    (r"a\?", "a?", "ab"),
    (r"a\\", "a\\", "a"),
    (r"\a", "a", "\\a"),
    (r"\!a", "!a", "a"),
    (r"\#a", "#a", "a"),
    ("abc.def", "abc.def", "abcdef abcZdef"),
    ("a(b)c/def", "a(b)c/def", "abc/def"),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", "a"),
    ("^a$", "^a$", "a"),
    ("a+", "a+", "aa a"),
    ("a{2}", "a{2}", "aa"),
    (".*", ".foo .git/x", "foo a/.foo"),
    ("*$", "a$", "a"),
    ("ünïcode", "ünïcode ünïcode/x", "unicode"),
    ("#a", "#a", "a"),
]


@pytest.mark.parametrize(("pattern", "excluded", "kept"), ONE_PATTERN)
def test_one_pattern(pattern: str, excluded: str, kept: str) -> None:
    # A pattern of a COPY --exclude is taken as it is; an ignore file's line loses its leading slash first.
    text = pattern if not pattern.startswith("#") else f" {pattern}"
    patterns = Patterns.parse(text)
    wrong = [path for path in excluded.split() if not patterns.excludes(path)]
    wrong += [path for path in kept.split() if patterns.excludes(path)]
    assert not wrong


FILES = [
    ("docs\n!docs/README.md", "docs docs/a docs/a/README.md", "docs/README.md"),
    ("docs/\n!docs/README.md", "docs/a", "docs/README.md"),
    ("docs/*\n!docs/README.md", "docs/a", "docs/README.md docs"),
    ("!docs/README.md\ndocs", "docs/README.md", "a"),
    ("*.md\n!README.md", "a.md", "README.md"),
    ("*.md\n!README*.md\nREADME-secret.md", "a.md README-secret.md", "README.md README-x.md"),
    ("*.md\nREADME-secret.md\n!README*.md", "a.md", "README-secret.md README.md"),
    ("**\n!util/docker/web", "a util util/docker", "util/docker/web util/docker/web/foo"),
    (
        "**\n!util/docker/web\nutil/docker/web/foo",
        "util/docker/web/foo util/docker/web/foo/x",
        "util/docker/web/a",
    ),
    ("*\n!src\n!go.*", "a", "src src/a go.mod"),
    ("*\n!src/*.go", "src src/a.c", "src/a.go"),
    ("*\n!/src", "a", "src/a"),
    ("*\n! src", "a", "src/a"),
    ("*\n  !src  ", "a", "src/a"),
    ("a\n!a\na", "a a/b", "b"),
    ("a\n!a/b\na*", "a/b a/c", "b"),
    ("**/*.log\n!**/keep.log", "a.log x/a.log", "keep.log x/keep.log"),
    ("node_modules\n!node_modules/keep/**", "node_modules/a node_modules/keep", "node_modules/keep/a"),
    ("!!a\n!b", "", "a !a"),
    ("*\n!!a", "a", "!a"),
    ("# comment\n#a\n\n  \nb", "b", "a #a"),
    ("\ufeffa\nb", "a b", "c"),
    ("a\r\nb\r\n", "a b", "c"),
    ("a\n\n\n!a", "", "a a/b"),
    ("", "", "a a/b ."),
    (".git\n.dockerignore\nDockerfile*", ".git .git/x Dockerfile Dockerfile.dev", ".gitignore"),
    ("**/__pycache__\n**/*.py[co]", "__pycache__ a/__pycache__/b x/a.pyc", "x/a.py"),
]


@pytest.mark.parametrize(("text", "excluded", "kept"), FILES)
def test_last_match_decides(text: str, excluded: str, kept: str) -> None:
    patterns = Patterns.parse(text.encode())
    wrong = [path for path in excluded.split() if not patterns.excludes(path)]
    wrong += [path for path in kept.split() if patterns.excludes(path)]
    assert not wrong


def test_names_that_are_not_utf8_match() -> None:
    assert Patterns.parse(b"caf\xe9\n").excludes("caf\udce9/x")


MALFORMED = [
    "[",
    "[^",
    "[]",
    "[]a]",
    "[-]",
    "[x-]",
    "[-x]",
    "[a-b-c]",
    "[^bc",
    "a[",
    "a/[b",
    "\\",
    "a\\",
    "[z-a]",
    "[a\\",
]


@pytest.mark.parametrize("pattern", MALFORMED)
def test_malformed_patterns_are_named_with_their_line(pattern: str) -> None:
    with pytest.raises(DockerfileError, match="syntax error in pattern") as error:
        Patterns.parse(f"# first\nok\n{pattern}\n", "my.dockerignore")
    assert str(error.value.where) == "my.dockerignore:3"
    assert f">>> {pattern}" in error.value.excerpt


@pytest.mark.parametrize("text", ["!", "! ", "a\n!", "!/", "!."])
def test_a_lone_exclamation_mark(text: str) -> None:
    if text == "!.":
        assert not Patterns.parse(text).excludes("a")
        return
    with pytest.raises(DockerfileError, match="illegal exclusion pattern"):
        Patterns.parse(text)


BELOW = [
    ("node_modules", "node_modules", False),
    ("node_modules", "node_modules/a", False),
    ("node_modules", "src", True),
    ("node_modules\n!README.md", "node_modules", False),
    ("node_modules\n!node_modules/keep", "node_modules", True),
    ("node_modules\n!node_modules/keep", "node_modules/a", False),
    ("node_modules\n!node_modules/keep", "node_modules/keep", True),
    ("!node_modules/keep\nnode_modules", "node_modules", False),
    ("a\n!a/b\na/b/c", "a/b/c", False),
    ("a\n!a/b/c/d", "a/b", True),
    ("a\n!a/b/c/d", "a/x", False),
    ("a\n!a/*/c", "a/x", True),
    ("a\n!a/x*/c", "a/y", False),
    ("a\n!**/keep", "a", True),
    ("a\n!a/**/keep", "a/b/c", True),
    ("a\n!b/**/keep", "a/b/c", False),
    ("a\n!b", "a", False),
    ("*\n!src", "lib", False),
    ("*\n!src", "src", True),
    ("*\n!src/main", "src", True),
    ("**/cache\n!src/cache/keep", "lib/cache", False),
    ("**/cache\n!src/cache/keep", "src/cache", True),
    ("a\n!a[^x]b", "a", True),
]


@pytest.mark.parametrize(("text", "folder", "result"), BELOW)
def test_folders_that_a_walk_can_leave_out(text: str, folder: str, result: bool) -> None:
    assert Patterns.parse(text).may_keep_below(folder) is result


def slow_regex(pattern: str) -> str:
    """moby's translation, character by character, with Python's backtracking."""
    tokens = re.findall(r"\*\*/?|\\.|\[\^?(?:\\.|[^]\\])*\]|.", pattern)
    regex = ""
    for index, token in enumerate(tokens):
        if token.startswith("**"):
            regex += ".*" if index + 1 == len(tokens) else "(.*/)?"
        elif token == "*":
            regex += "[^/]*"
        elif token == "?":
            regex += "[^/]"
        elif token.startswith("["):
            regex += token
        else:
            regex += re.escape(token[-1])
    literal = not re.search(r"[*?\[\\]", pattern[2:])
    if pattern.startswith("**") and literal and not pattern.startswith("**/") and len(pattern) > 2:
        regex = ".*" + re.escape(pattern[2:])
    return regex


def slow_excludes(lines: list[str], path: str) -> bool:
    parents = ["/".join(path.split("/")[: n + 1]) for n in range(path.count("/") + 1)]
    excluded = False
    for line in lines:
        regex = re.compile(slow_regex(line.removeprefix("!")), re.DOTALL)
        if any(regex.fullmatch(parent) for parent in parents):
            excluded = not line.startswith("!")
    return excluded


COMPONENTS = st.lists(
    st.sampled_from(["a", "b", "*", "?", "[ab]", "[^a]", r"\*", "."]), min_size=1, max_size=4
)
PARTS = st.one_of(COMPONENTS.map("".join), st.just("**")).filter(lambda part: part not in (".", ".."))
LINES = st.builds(
    lambda sign, parts: sign + "/".join(parts),
    st.sampled_from(["", "", "!"]),
    st.lists(PARTS, min_size=1, max_size=4),
)
PATHS = st.lists(
    st.text("ab*.", min_size=1, max_size=3).filter(lambda c: c.strip(".")), min_size=1, max_size=4
).map("/".join)


@given(st.lists(LINES, min_size=1, max_size=4), PATHS)
def test_the_same_as_the_rules_taken_word_by_word(lines: list[str], path: str) -> None:
    assert Patterns.parse("\n".join(lines)).excludes(path) == slow_excludes(lines, path)


@given(st.lists(LINES, min_size=1, max_size=4), PATHS, PATHS)
def test_nothing_is_kept_below_a_folder_that_is_left_out(lines: list[str], folder: str, below: str) -> None:
    patterns = Patterns.parse("\n".join(lines))
    if not patterns.may_keep_below(folder):
        assert patterns.excludes(f"{folder}/{below}")


@given(st.text("ab*?[]^-!#\\/. \n\r", max_size=30), st.text("ab/.*", max_size=12))
def test_any_text_is_read_or_refused(text: str, path: str) -> None:
    try:
        Patterns.parse(text).excludes(path)
    except DockerfileError:
        pass


HOSTILE = [
    "**/a" * 9 + "/b",
    "**/a/" * 9 + "b",
    "*a" * 20 + "b",
    "a**" * 9 + "b",
    "[^b]*" * 9 + "d",
    "*a*" * 9 + "/**/b",
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_patterns_are_matched_in_linear_time(pattern: str) -> None:
    patterns = Patterns.parse(pattern)

    def run(size: int) -> None:
        assert not patterns.excludes("a/" * size + "a" * size + "c")

    assert_linear(run, 200)
