"""What a build fetches, and what it makes of it: one thing is changed at a time, and that is done again.

Builds run in this process, on servers of this machine; nothing needs root.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from support.cli import write_files
from support.repositories import Work, backend, serving
from support.trees import Node, tree
from wherry.base.errors import WherryError
from wherry.base.events import Cached, Event, Started
from wherry.build.build import Built, build
from wherry.build.options import Options
from wherry.store.store import Store

Make = Callable[..., Built]
LONG_AGO = formatdate(1_000_000_000, usegmt=True)


class Site:
    """Files by their path. `etags`: whether the server can tell that one is unchanged.

    `meeting` is where requests wait for each other.
    """

    def __init__(self) -> None:
        self.meeting: threading.Barrier | None = None
        self.files: dict[str, bytes] = {}
        self.etags = True
        self.asked: list[str] = []
        self.address = ""

    @property
    def downloads(self) -> list[str]:
        return [line.removeprefix("200 ") for line in self.asked if line.startswith("200 ")]


@contextmanager
def served(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if site.meeting:
                site.meeting.wait()
            content = site.files.get(self.path)
            etag = f'"{hashlib.sha256(content or b"").hexdigest()}"'
            status = 404 if content is None else 200
            if site.etags and status == 200 and self.headers.get("If-None-Match") == etag:
                status = 304
            site.asked.append(f"{status} {self.path}")
            self.send_response(status)
            if site.etags:
                self.send_header("ETag", etag)
            self.send_header("Last-Modified", LONG_AGO)
            body = content if content is not None and status == 200 else b""
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as site.address:
        yield site


@pytest.fixture
def site() -> Iterator[Site]:
    with served(Site()) as site:
        yield site


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "srv" / "app")


@pytest.fixture
def repository(work: Work, tmp_path: Path) -> Iterator[str]:
    """The address of `work`, from a server."""
    with serving(backend(tmp_path / "srv")) as address:
        yield f"{address}/app.git"


@pytest.fixture
def make(store: Store, tmp_path: Path) -> Make:
    """Build lines on scratch; `events` are kept in `make.events`."""

    def build_lines(
        *lines: str,
        files: Mapping[str, str | bytes] | None = None,
        events: list[Event] | None = None,
        **options: object,
    ) -> Built:
        text = "\n".join(lines if lines[0].startswith("FROM") else ["FROM scratch", *lines])
        folder = write_files(tmp_path / "context", {**(files or {}), "Dockerfile": text})
        asked = Options(context=str(folder), **options)  # type: ignore[arg-type]
        return build(store, asked, (events if events is not None else []).append)

    return build_lines


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid = len(content), 0o640, 1000
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def files_of(store: Store, built: Built) -> dict[str, str]:
    return {path: node.content for path, node in tree(store, built.image).items() if node.kind != "d"}


# what a URL gives


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("ADD {}/d/a%20b.txt /", "a b.txt"),
        ("ADD {}/d/c.txt?name=x#y /n", "n"),
        ("ADD {}/d/c.txt /n/", "n/c.txt"),
        ("ADD {}/d/ /", "d"),
        ("ADD {}/ /", "__unnamed__"),
        ("ARG N=c\nADD {}/d/$N.txt /x/", "x/c.txt"),
        ("ADD --link {}/d/c.txt /", "c.txt"),
    ],
)
def test_names(store: Store, make: Make, site: Site, line: str, path: str) -> None:
    for name in ("/d/a%20b.txt", "/d/c.txt", "/d/c.txt?name=x", "/d/", "/"):
        site.files[name] = b"x"
    built = make(line.format(site.address))
    assert tree(store, built.image)[path] == Node("f", 0o600, 0, 0, "x")


def test_owner_and_mode(store: Store, make: Make, site: Site) -> None:
    site.files["/a"] = b"x"
    built = make(f"ADD --chown=1:2 --chmod=755 {site.address}/a /n/")
    found = tree(store, built.image)
    assert found["n/a"] == Node("f", 0o755, 1, 2, "x")
    assert found["n"] == Node("d", 0o755, 1, 2)


def test_archives_are_unpacked_where_it_says_so(store: Store, make: Make, site: Site) -> None:
    site.files["/t.tgz"] = archive({"d/x": b"1", "y": b"2"})
    url = f"{site.address}/t.tgz"
    assert list(files_of(store, make(f"ADD {url} /n/"))) == ["n/t.tgz"]
    assert list(files_of(store, make(f"ADD --unpack=false {url} /n/"))) == ["n/t.tgz"]
    unpacked = tree(store, make(f"ADD --unpack {url} /n/").image)
    assert unpacked["n/y"] == Node("f", 0o640, 1000, 0, "2")
    assert "n/d/x" in unpacked and "n/t.tgz" not in unpacked
    local = make("ADD t.tgz /n/", files={"t.tgz": site.files["/t.tgz"]})
    assert list(files_of(store, local)) == ["n/d/x", "n/y"]
    assert site.downloads == ["/t.tgz"]


def test_local_and_remote_sources_together(store: Store, make: Make, site: Site) -> None:
    site.files |= {"/a": b"remote a", "/t.tgz": archive({"y": b"2"})}
    line = "ADD {0}/a b t.tgz {0}/t.tgz <<h /n/\ntext\nh"
    files: dict[str, str | bytes] = {"b": "local b", "t.tgz": archive({"x": b"1"})}
    found = files_of(store, make(line.format(site.address), files=files))
    assert list(found) == ["n/a", "n/b", "n/h", "n/t.tgz", "n/x"]
    assert "n/y" in files_of(store, make("ADD --unpack" + line.format(site.address)[3:], files=files))
    assert (found["n/a"], found["n/b"], found["n/h"], found["n/x"]) == ("remote a", "local b", "text\n", "1")


def test_errors_name_the_line_and_no_password(make: Make, site: Site) -> None:
    url = site.address.replace("http://", "http://me:secret@")
    with pytest.raises(WherryError, match=r"xxxxx@.*/none was answered with 404") as caught:
        make("WORKDIR /w", f"ADD {url}/none /")
    assert str(caught.value.where) == "Dockerfile:3"
    assert "secret" not in str(caught.value)


def test_a_password_is_in_no_history_and_no_event(store: Store, make: Make, site: Site) -> None:
    site.files["/a"] = b"x"
    events: list[Event] = []
    url = site.address.replace("http://", "http://me:secret@")
    built = make("ARG U", "ADD $U/a /", arguments=(("U", url),), events=events)
    for _ in range(2):
        built = make(f"ADD {url}/a /", events=events)
    history = store.images.get(built.image).config.history
    assert "secret" not in repr([history, events, store.records.all()])
    assert "xxxxx@" in repr(history)


# when it is fetched


def test_what_is_unchanged_is_not_fetched_again(make: Make, site: Site) -> None:
    site.files["/a"] = b"x"
    line = f"ADD {site.address}/a /"
    assert make(line).executed == 1
    assert make(line).executed == 0
    assert site.asked == ["200 /a", "304 /a"]


def test_a_server_that_cannot_tell_is_fetched_from_and_the_step_is_not_done_again(
    make: Make, site: Site
) -> None:
    site.files["/a"] = b"x"
    site.etags = False
    line = f"ADD {site.address}/a /"
    assert make(line).executed == 1
    assert make(line).executed == 0
    assert site.downloads == ["/a", "/a"]


@pytest.mark.parametrize("etags", [True, False])
def test_other_content_of_the_same_length_and_time(store: Store, make: Make, site: Site, etags: bool) -> None:
    site.etags = etags
    site.files["/a"] = b"first"
    line = f"ADD {site.address}/a /"
    make(line)
    site.files["/a"] = b"other"
    assert files_of(store, make(line)) == {"a": "other"}
    site.files["/a"] = b"first"
    built = make(line)
    assert files_of(store, built) == {"a": "first"}
    assert built.executed == 0


def test_with_a_checksum_nobody_is_asked(store: Store, make: Make) -> None:
    line = f"ADD --checksum={sha256(b'x')} {{}}/a /"
    with served(Site()) as site:
        site.files["/a"] = b"x"
        assert make(line.format(site.address)).executed == 1
        assert make(line.format(site.address)).executed == 0
        assert len(site.asked) == 1
    # The server is gone: what is kept serves another step too.
    built = make(line.format(site.address), f"ADD --checksum={sha256(b'x')} {site.address}/a /again/")
    assert files_of(store, built) == {"a": "x", "again/a": "x"}
    assert built.executed == 1


def test_a_wrong_checksum_leaves_nothing(store: Store, make: Make, site: Site) -> None:
    site.files["/a"] = b"x"
    wrong = sha256(b"y")
    with pytest.raises(WherryError, match=f"has the checksum {sha256(b'x')}, not {wrong}") as caught:
        make(f"ADD --checksum={wrong} {site.address}/a /")
    assert str(caught.value.where) == "Dockerfile:2"
    assert store.records.all() == []


def test_a_kept_file_of_a_checksum_is_not_what_the_url_has(store: Store, make: Make, site: Site) -> None:
    site.files["/a"] = b"old"
    make(f"ADD {site.address}/a /1")
    site.files["/a"] = b"new"
    lines = f"ADD --checksum={sha256(b'old')} {site.address}/a /1", f"ADD {site.address}/a /2"
    assert files_of(store, make(*lines)) == {"1": "old", "2": "new"}


def test_only_what_the_target_needs_is_asked_for(make: Make, site: Site) -> None:
    site.files["/a"] = b"x"
    make("FROM scratch AS one", f"ADD {site.address}/missing /", "FROM scratch", f"ADD {site.address}/a /")
    assert site.asked == ["200 /a"]


def test_look_ups_are_side_by_side(make: Make, site: Site) -> None:
    site.files |= {"/a": b"a", "/b": b"b"}
    lines = f"ADD {site.address}/a /", f"ADD {site.address}/b /"
    make(*lines)
    site.meeting = threading.Barrier(2, timeout=60)
    assert make(*lines).executed == 0


def test_one_url_is_fetched_once_for_all_steps(make: Make, site: Site) -> None:
    site.files["/a"] = b"x"
    site.etags = False
    lines = f"ADD {site.address}/a /1", f"ADD --chmod=700 {site.address}/a /2", f"ADD {site.address}/a /3"
    make(*lines)
    make(*lines)
    assert site.downloads == ["/a", "/a"]


def test_no_cache_asks_and_does_not_download_again(store: Store, make: Make, site: Site) -> None:
    site.files["/a"] = b"x"
    line = f"ADD {site.address}/a /"
    make(line)
    assert make(line, no_cache=True).executed == 1
    assert site.asked == ["200 /a", "304 /a"]
    site.files["/a"] = b"y"
    assert files_of(store, make(line, no_cache=True)) == {"a": "y"}


def test_the_same_content_from_elsewhere_is_reused(make: Make, site: Site) -> None:
    site.files |= {"/1/a": b"x", "/2/a": b"x", "/3/b": b"x"}
    assert make(f"ADD {site.address}/1/a /").executed == 1
    assert make(f"ADD {site.address}/2/a /").executed == 0
    assert make(f"ADD {site.address}/3/b /").executed == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ADD {}/a /n", "ADD {}/a /n/"),
        ("ADD {}/a /n", "ADD --chmod=700 {}/a /n"),
        ("ADD {}/a /n", "ADD --chown=1 {}/a /n"),
        ("ADD {}/t.tgz /n", "ADD --unpack {}/t.tgz /n"),
        ("ADD {}/a /n/", "ADD {}/b /n/"),
        ("ADD {}/a {}/b /n/", "ADD {}/b /n/"),
        ("ADD {}/a x /n/", "ADD {}/a /n/"),
        ("ADD {}/t.tgz t.tgz /n/", "ADD t.tgz {}/t.tgz /n/"),
        ("ADD {}/t.tgz t.tgz /n/", "ADD --unpack {}/t.tgz t.tgz /n/"),
        ("ADD {}/t.tgz t.tgz /n/", "ADD --unpack=false {}/t.tgz t.tgz /n/"),
        ("ADD {}/a <<x /n/\n1\nx", "ADD {}/a <<x /n/\n2\nx"),
        ("ADD --exclude=a {}/a {}/b /n/", "ADD --exclude=b {}/a {}/b /n/"),
        ("ADD {}/a x /n/", "ADD x {}/a /n/"),
    ],
)
def test_no_step_takes_the_result_of_another(
    store: Store, make: Make, site: Site, tmp_path: Path, one: str, other: str
) -> None:
    """Each line gives, behind the other and alone on a new store, the same files."""
    site.files |= {"/a": b"a", "/b": b"a", "/t.tgz": archive({"y": b"2"})}
    files: dict[str, str | bytes] = {"x": "local", "t.tgz": archive({"x": b"1"})}
    for line in (one, other, one):
        text = line.replace("{}", site.address)
        found = tree(store, make(text, files=files).image)
        with Store.open(str(tmp_path / f"store-{len(site.asked)}")) as new:
            alone = build(new, Options(context=str(tmp_path / "context")))
            assert tree(new, alone.image) == found


def test_which_of_two_archives_is_unpacked_counts(
    store: Store, make: Make, site: Site, tmp_path: Path
) -> None:
    one, two = archive({"x": b"1"}), archive({"y": b"2"})
    site.files |= {"/one/t.tgz": one, "/two/t.tgz": two}
    local = write_files(tmp_path / "context", {"t.tgz": one}) / "t.tgz"
    local.chmod(0o600)
    first = make(f"ADD t.tgz {site.address}/two/t.tgz /n/")
    assert set(files_of(store, first)) == {"n/x", "n/t.tgz"}
    local.write_bytes(two)
    # The same files of the same modes in the same order.
    second = make(f"ADD {site.address}/one/t.tgz t.tgz /n/")
    assert set(files_of(store, second)) == {"n/y", "n/t.tgz"}


def test_a_changed_local_file_beside_an_unchanged_url(store: Store, make: Make, site: Site) -> None:
    site.files["/a"] = b"x"
    line = f"ADD {site.address}/a b* /n/"
    assert make(line, files={"b": "1"}).executed == 1
    assert make(line, files={"b": "1"}).executed == 0
    assert files_of(store, make(line, files={"b": "2"})) == {"n/a": "x", "n/b": "2"}
    assert files_of(store, make(line, files={"b": "2", "b2": "3"}))["n/b2"] == "3"
    assert make(line, files={"c": "not copied"}).executed == 0


# repositories


def test_the_files_of_a_repository(store: Store, make: Make, work: Work, repository: str) -> None:
    work.commit({"a": "1", "sub/b": "2"})
    work.git("tag", "v1")
    work.commit({"a": "3"})
    assert files_of(store, make(f"ADD {repository} /r")) == {"r/a": "3", "r/sub/b": "2"}
    assert files_of(store, make(f"ADD {repository}#v1:sub /r/")) == {"r/b": "2"}
    assert files_of(store, make(f"ADD {repository}?ref=v1&subdir=sub /r/")) == {"r/b": "2"}
    kept = files_of(store, make(f"ADD --keep-git-dir {repository}#v1 /r"))
    assert kept["r/a"] == "1" and "r/.git/HEAD" in kept
    owned = tree(store, make(f"ADD --chown=5 --chmod=700 --exclude=sub {repository} /r").image)
    assert owned["r/a"] == Node("f", 0o700, 5, 5, "3")
    assert "r/sub" not in owned


def test_a_repository_is_asked_in_each_build_and_what_moved_is_done_again(
    store: Store, make: Make, work: Work, repository: str
) -> None:
    first = work.commit({"a": "1"})
    line = f"ADD {repository}#main /r"
    assert make(line).executed == 1
    assert make(line).executed == 0
    work.commit({"a": "2"})
    assert files_of(store, make(line)) == {"r/a": "2"}
    assert files_of(store, make(f"ADD {repository}#{first} /r")) == {"r/a": "1"}


def test_a_commit_that_changes_nothing_that_is_copied(make: Make, work: Work, repository: str) -> None:
    work.commit({"a": "1", "sub/b": "2"})
    lines = f"ADD {repository}#main:sub /r", "WORKDIR /w"
    make(*lines)
    work.commit({"a": "3"})
    assert make(*lines).executed == 0


def test_a_moved_tag(store: Store, make: Make, work: Work, repository: str) -> None:
    work.commit({"a": "1"})
    work.git("tag", "v")
    work.push()
    line = f"ADD {repository}#v /r"
    make(line)
    work.commit({"a": "2"})
    assert make(line).executed == 0
    work.git("tag", "-f", "v")
    work.push()
    assert files_of(store, make(line)) == {"r/a": "2"}


def test_a_whole_hash_needs_no_network(make: Make, work: Work, tmp_path: Path) -> None:
    commit = work.commit({"a": "1"})
    with serving(backend(tmp_path / "srv")) as address:
        line = f"ADD {address}/app.git#{commit} /r"
        make(line)
    assert make(line).executed == 0


def test_the_checksum_of_a_repository(make: Make, work: Work, repository: str) -> None:
    commit = work.commit({"a": "1"})
    make(f"ADD --checksum={commit[:10]} {repository} /r")
    with pytest.raises(WherryError, match=f"is the commit {commit}, not {'0' * 40}") as caught:
        make(f"ADD --checksum={'0' * 40} {repository} /r")
    assert str(caught.value.where) == "Dockerfile:2"


def with_a_module(work: Work, repository: str, tmp_path: Path) -> None:
    """Two folders, two branches and a submodule."""
    library = Work(tmp_path / "srv" / "library")
    library.commit({"l": "1"})
    address = repository.replace("app.git", "library.git")
    work.commit({"a": "1", "sub/b": "2", "sub2/b": "2", "sub2/c": "3"})
    work.commit({}, lambda _: work.git("submodule", "--quiet", "add", address, "m"))
    work.git("branch", "other")
    work.push()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{}", "{}#main:sub"),
        ("{}#main:sub", "{}#main:sub2"),
        ("--keep-git-dir {}", "{}"),
        ("{}?keep-git-dir=1", "{}?keep-git-dir=0"),
        ("--keep-git-dir {}#main", "--keep-git-dir {}#other"),
        ("{}?submodules=true", "{}?submodules=false"),
    ],
)
def test_no_checkout_is_taken_for_another(
    store: Store, make: Make, work: Work, repository: str, tmp_path: Path, one: str, other: str
) -> None:
    with_a_module(work, repository, tmp_path)
    # The index in a `.git` has this machine's times.
    for source in (one, other, one):
        found = files_of(store, make(f"ADD {source.format(repository)} /r"))
        with Store.open(str(tmp_path / f"store-{source.format('')}".replace("/", "_"))) as new:
            alone = files_of(new, build(new, Options(context=str(tmp_path / "context"))))
        assert found.keys() == alone.keys()
        assert {path: text for path, text in found.items() if path != "r/.git/index"} == {
            path: text for path, text in alone.items() if path != "r/.git/index"
        }


# named contexts


def test_a_named_folder(store: Store, make: Make, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "src", {"a": "1", "b": "1", "no": "x", ".dockerignore": "no\n"})
    lines = "COPY c /", "COPY --from=src a /", "COPY --from=src . /all/"
    contexts = (("src", str(folder)),)
    built = make(*lines, files={"c": "1"}, contexts=contexts)
    assert set(files_of(store, built)) == {"a", "all/a", "all/b", "all/.dockerignore", "c"}
    assert make(*lines, files={"c": "1"}, contexts=contexts).executed == 0
    (folder / "b").write_text("2")
    assert make(*lines, files={"c": "1"}, contexts=contexts).executed == 1
    (folder / "no").write_text("y")
    assert make(*lines, files={"c": "1"}, contexts=contexts).executed == 0
    with pytest.raises(WherryError, match="'no' is excluded from context 'src' by the ignore file"):
        make("COPY --from=src no /", contexts=contexts)
    with pytest.raises(WherryError, match="'none' is not in context 'src'"):
        make("COPY --from=src none /", contexts=contexts)


def test_the_same_files_elsewhere_are_reused(make: Make, tmp_path: Path) -> None:
    one = write_files(tmp_path / "one", {"a": "1"})
    other = write_files(tmp_path / "other", {"a": "1", "b": "not copied"})
    line = "COPY --from=src a /"
    assert make(line, contexts=(("src", str(one)),)).executed == 1
    assert make(line, contexts=(("src", str(other)),)).executed == 0
    assert make("COPY --from=x a /", contexts=(("x", str(one)),)).executed == 0
    assert make("COPY a /", files={"a": "1"}).executed == 0
    (other / "a").write_text("2")
    assert make(line, contexts=(("src", str(other)),)).executed == 1


def test_a_repository_as_a_context(store: Store, make: Make, work: Work, repository: str) -> None:
    work.commit({"a": "1", "sub/a": "2", ".dockerignore": "a\n"})
    lines = "FROM src AS all", "FROM scratch", "COPY --from=src a /", "COPY --from=all / /all/"
    assert files_of(store, make(*lines, contexts=(("src", f"{repository}#main"),))) == {
        "a": "1",
        "all/.dockerignore": "a\n",
        "all/a": "1",
        "all/sub/a": "2",
    }
    assert make(*lines, contexts=(("src", f"{repository}#main"),)).executed == 0
    # Another folder of the same commit is other files.
    found = files_of(store, make("COPY --from=src a /", contexts=(("src", f"{repository}#main:sub"),)))
    assert found == {"a": "2"}
    assert make(*lines, contexts=(("src", work.url),)).executed == 0
    work.commit({"a": "3"})
    assert files_of(store, make(*lines, contexts=(("src", repository),)))["a"] == "3"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("?submodules=true", "?submodules=false"),
        ("?keep-git-dir=1", "?keep-git-dir=0"),
        ("#main", "#other:sub"),
        ("#main:sub", "#main:sub2"),
    ],
)
def test_no_context_is_taken_for_another(
    store: Store, make: Make, work: Work, repository: str, tmp_path: Path, one: str, other: str
) -> None:
    with_a_module(work, repository, tmp_path)
    expected = {}
    for source in (one, other):
        folder = tmp_path / f"store{source}".replace("/", "_")
        with Store.open(str(folder)) as new:
            make("COPY --from=src . /", contexts=(("src", repository + source),))
            options = Options(context=str(tmp_path / "context"), contexts=(("src", repository + source),))
            expected[source] = files_of(new, build(new, options)).keys()
    assert expected[one] != expected[other], "the test must tell them apart"
    for source in (one, other, one):
        built = make("COPY --from=src . /", contexts=(("src", repository + source),))
        assert files_of(store, built).keys() == expected[source]


def test_a_hit_is_told_and_nothing_is_begun(make: Make, site: Site, repository: str, work: Work) -> None:
    work.commit({"f": "1"})
    site.files["/a"] = b"x"
    files: dict[str, str | bytes] = {"b": "local"}
    line = f"ADD {site.address}/a b {repository} <<h /n/\ntext\nh"
    make(line, "COPY --from=src f /", files=files, contexts=(("src", repository),))
    events: list[Event] = []
    make(line, "COPY --from=src f /", files=files, contexts=(("src", repository),), events=events)
    assert [event.name for event in events if isinstance(event, Started)] == ["exporting to image"]
    assert site.downloads == ["/a"]


def test_a_changed_parent_fetches_nothing(
    store: Store, make: Make, site: Site, repository: str, work: Work
) -> None:
    work.commit({"f": "1"})
    site.files["/a"] = b"x"
    lines = "COPY b /", f"ADD {site.address}/a /", f"ADD {repository} /r", "COPY --from=src f /f"
    contexts = (("src", repository),)
    make(*lines, files={"b": "1"}, contexts=contexts)
    events: list[Event] = []
    built = make(*lines, files={"b": "2"}, contexts=contexts, events=events)
    assert files_of(store, built) == {"a": "x", "b": "2", "f": "1", "r/f": "1"}
    begun = [event.name for event in events if isinstance(event, Started)]
    assert begun == ["[2/5] COPY b /", "exporting to image"]


def test_a_url_as_a_context(store: Store, make: Make, site: Site) -> None:
    site.files |= {"/s.tgz": archive({"a": b"1", "d/b": b"2"}), "/plain": b"text"}
    contexts = (("src", f"{site.address}/s.tgz"), ("file", f"{site.address}/plain"))
    lines = "COPY --from=src . /", "COPY --from=file . /f/"
    assert files_of(store, make(*lines, contexts=contexts)) == {"a": "1", "d/b": "2", "f/context": "text"}
    assert make(*lines, contexts=contexts).executed == 0
    assert len(site.downloads) == 2
    site.files["/s.tgz"] = archive({"a": b"1"})
    assert files_of(store, make(*lines, contexts=contexts)) == {"a": "1", "f/context": "text"}
    assert make("ADD --unpack=false . /", files={}, contexts=contexts).image


def test_a_context_that_nobody_uses_is_not_asked_for(make: Make, site: Site) -> None:
    make("WORKDIR /w", contexts=(("src", f"{site.address}/missing"), ("r", f"{site.address}/r.git")))
    assert site.asked == []


def test_the_files_of_a_context_are_those_of_a_copy(store: Store, make: Make, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "src", {"a": "1", "d/b": "2", "e/": ""})
    (folder / "a").chmod(0o751)
    (folder / "link").symlink_to("d/b")
    contexts = (("src", str(folder)),)
    made = make("FROM src AS src", "FROM src", contexts=contexts)
    copied = make("COPY --from=src . /", contexts=contexts)
    assert tree(store, made.image) == tree(store, copied.image)
    assert tree(store, made.image)["a"] == Node("f", 0o751, 0, 0, "1")
    image = store.images.get(made.image).config
    assert [(line.created_by, line.empty_layer) for line in image.history] == [("FROM context 'src'", False)]


def test_progress_names_what_is_fetched(make: Make, site: Site) -> None:
    site.files["/a"] = b"x"
    site.etags = False
    line = f"ADD {site.address}/a /"
    make(line)
    events: list[Event] = []
    make(line, events=events)
    told = [event.name for event in events if isinstance(event, Started | Cached)]
    assert told == [
        f"[internal] fetch {site.address}/a",
        "[1/2] FROM scratch",
        f"[2/2] {line}",
        "exporting to image",
    ]
