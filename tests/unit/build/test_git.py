"""Repositories that git itself made and serves: what a name means, what is written, what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from support import tls
from support.repositories import Work, backend, fake_ssh, files_of, git, serving
from wherry.base.errors import NotFound, WherryError
from wherry.build.remote.address import repository
from wherry.build.remote.git import Git

pytestmark = pytest.mark.needs("git")

Open = Callable[..., Git]
Handler = Callable[[Path], type[BaseHTTPRequestHandler]]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "srv" / "app")


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """`opened("file:///r.git#main")`, each with a scratch folder of its own and one cache."""
    cache = tmp_path / "cache"
    cache.mkdir()
    numbers = iter(range(100))

    def make(text: str, *, local: bool = True) -> Git:
        scratch = tmp_path / f"scratch{next(numbers)}"
        scratch.mkdir()
        found = repository(text, local=True)
        assert found is not None
        return Git(found, str(scratch), str(cache), local=local)

    return make


def tree(folder: str | Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content by path, links by their target; folders end with a slash."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = (0, os.readlink(path).encode())
        elif path.is_dir():
            found[f"{name}/"] = (path.stat().st_mode & 0o7777, b"")
        else:
            found[name] = (path.stat().st_mode & 0o7777, path.read_bytes())
    return found


# names


def test_what_a_ref_means(work: Work, opened: Open) -> None:
    first = work.commit({"a": "1"})
    work.git("tag", "light")
    work.git("tag", "-a", "heavy", "-m", "x")
    work.git("branch", "topic/one")
    second = work.commit({"a": "2"})
    expected = {
        "": second,
        "#main": second,
        "#light": first,
        "#heavy": first,
        "#topic/one": first,
        "#refs/heads/main": second,
        "#heads/main": second,
        "#tags/heavy": first,
        "?tag=heavy": first,
        f"#{first}": first,
        f"?branch=main&checksum={second[:12]}": second,
    }
    assert {text: opened(work.url + text).commit() for text in expected} == expected


def test_a_branch_goes_before_a_tag_of_its_name_and_before_longer_names(work: Work, opened: Open) -> None:
    first = work.commit({"a": "1"})
    work.git("tag", "same")
    work.git("branch", "aaa/same")
    second = work.commit({"a": "2"})
    work.git("branch", "same")
    work.push()
    assert opened(f"{work.url}#same").commit() == second
    assert opened(f"{work.url}?tag=same").commit() == first


def test_names_that_there_are_not(work: Work, opened: Open, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no default branch"):
        opened(work.url).commit()
    commit = work.commit({"a": "1"})
    with pytest.raises(NotFound, match="has no branch or tag 'nope'"):
        opened(f"{work.url}#nope").commit()
    with pytest.raises(NotFound, match="has no branch or tag"):
        opened(f"{work.url}#{commit[:10]}").commit()
    with pytest.raises(WherryError, match=f"is the commit {commit}, not 0000"):
        opened(f"{work.url}?ref=main&checksum=0000").commit()
    with pytest.raises(WherryError, match="git cannot read"):
        opened(f"file://{tmp_path}/nothing.git").commit()
    with pytest.raises(WherryError, match="has no commit 0000"):
        opened(f"{work.url}#{'0' * 40}").checkout("0" * 40)


def test_a_whole_hash_needs_no_server(work: Work, opened: Open) -> None:
    commit = work.commit({"a": "1"})
    opened(f"{work.url}#{commit}").checkout(commit)
    work.bare.rename(work.bare.with_suffix(".away"))
    again = opened(f"{work.url}#{commit}")
    assert tree(again.checkout(again.commit())) == {"a": (0o644, b"1")}


# files


def test_files_as_they_were_committed(work: Work, opened: Open) -> None:
    def more(folder: Path) -> None:
        (folder / "run").chmod(0o755)
        (folder / "link").symlink_to("/etc/passwd")
        (folder / "dangling").symlink_to("../..")

    commit = work.commit(
        {"run": "#!/bin/sh\n", "d/ä b": b"\0\r\n", ".gitattributes": "*.x filter=evil\n", "f.x": "raw"}, more
    )
    found = opened(work.url)
    assert found.commit() == commit
    assert tree(found.checkout(commit)) == {
        "run": (0o755, b"#!/bin/sh\n"),
        "link": (0, b"/etc/passwd"),
        "dangling": (0, b"../.."),
        "d/": (0o755, b""),
        "d/ä b": (0o644, b"\0\r\n"),
        ".gitattributes": (0o644, b"*.x filter=evil\n"),
        "f.x": (0o644, b"raw"),
    }


def test_the_umask_has_no_say(work: Work, opened: Open) -> None:
    commit = work.commit({"d/a": "1"})
    before = os.umask(0o077)
    try:
        folder = opened(work.url).checkout(commit)
    finally:
        os.umask(before)
    assert tree(folder) == {"d/": (0o755, b""), "d/a": (0o644, b"1")}
    assert os.stat(folder).st_mode & 0o777 == 0o755


def test_the_history_is_left_where_it_is(work: Work, opened: Open, tmp_path: Path) -> None:
    first = work.commit({"big": os.urandom(300_000)})
    second = work.commit({"big": b"small"})
    opened(work.url).checkout(second)
    kept = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert kept < 100_000
    folder = opened(f"{work.url}#{first}").checkout(first)
    assert (Path(folder) / "big").stat().st_size == 300_000


def test_a_server_that_gives_branches_alone(work: Work, opened: Open) -> None:
    first = work.commit({"a": "1"})
    work.commit({"a": "2"})
    git(work.bare, "config", "uploadpack.allowAnySHA1InWant", "false")
    git(work.bare, "config", "protocol.version", "0")
    assert tree(opened(f"{work.url}#{first}").checkout(first)) == {"a": (0o644, b"1")}


def test_folders_of_a_repository(work: Work, opened: Open) -> None:
    def links(folder: Path) -> None:
        (folder / "inside").symlink_to("/d/e")
        (folder / "outside").symlink_to("/etc")
        (folder / "up").symlink_to("../../../../../../etc")

    commit = work.commit({"d/e/f": "1", "top": "2"}, links)
    assert tree(opened(f"{work.url}#:d").checkout(commit)) == {"e/": (0o755, b""), "e/f": (0o644, b"1")}
    assert tree(opened(f"{work.url}#main:/inside/").checkout(commit)) == {"f": (0o644, b"1")}
    for wrong in ("nope", "top", "outside", "up", "../home", "d/../../home"):
        with pytest.raises(NotFound, match="has no folder"):
            opened(f"{work.url}#:{wrong}").checkout(commit)


def test_what_is_kept_and_damaged_is_fetched_again(work: Work, opened: Open, tmp_path: Path) -> None:
    commit = work.commit({"a": "1" * 100})
    opened(work.url).checkout(commit)
    (bare,) = (tmp_path / "cache").glob("git-*[0-9a-f]")
    (bare / "shallow.lock").touch()
    blob = git(bare, "rev-parse", f"{commit}:a")
    damaged = [path for path in bare.rglob("*") if path.suffix == ".pack" or path.name == blob[2:]]
    assert damaged
    for path in damaged:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-30])
    assert tree(opened(work.url).checkout(commit)) == {"a": (0o644, b"1" * 100)}


def test_a_lock_of_a_git_that_was_killed(work: Work, opened: Open, tmp_path: Path) -> None:
    opened(work.url).checkout(work.commit({"a": "1"}))
    (bare,) = (tmp_path / "cache").glob("git-*[0-9a-f]")
    commit = work.commit({"a": "2"})
    for lock in ("shallow.lock", "HEAD.lock", "config.lock", f"refs/wherry/{commit}.lock"):
        (bare / lock).touch()
    assert tree(opened(work.url).checkout(commit)) == {"a": (0o644, b"2")}


def test_sha256_repositories(tmp_path: Path, opened: Open) -> None:
    work = Work(tmp_path / "new", "--object-format=sha256")
    commit = work.commit({"a": "1"})
    assert len(commit) == 64
    assert tree(opened(work.url).checkout(commit)) == {"a": (0o644, b"1")}


# .git


def test_a_kept_git_folder_is_whole_and_the_same_however_it_came(
    work: Work, opened: Open, tmp_path: Path
) -> None:
    text = os.urandom(3000).hex()
    work.commit({f"f{number}": f"{number}{text}" for number in range(120)})
    commit = work.commit({f"f{number}": f"{number}{text}{number}" for number in range(120)})
    folders = []
    for given in ("true", "false"):
        # Without its history from one server, with all of it from the other.
        git(work.bare, "config", "uploadpack.allowAnySHA1InWant", given)
        git(work.bare, "config", "protocol.version", "2" if given == "true" else "0")
        folders.append(Path(opened(f"{work.url}#{commit}").checkout(commit, keep_git_dir=True)))
        shutil.rmtree(tmp_path / "cache")
        (tmp_path / "cache").mkdir()
        git(work.bare, "repack", "-a", "-d", "-f", "-q", "--window=0")
    assert tree(folders[0]) == tree(folders[1])
    for path in folders[0].rglob("*"):
        assert not path.is_file() or bytes(tmp_path / "cache") not in path.read_bytes(), path
    assert git(folders[0], "rev-parse", "HEAD") == commit
    assert git(folders[0], "status", "--porcelain") == ""
    assert git(folders[0], "fsck") == ""
    assert git(folders[0], "config", "remote.origin.url") == work.url
    assert git(folders[0], "log", "--format=%H") == commit


def test_a_kept_git_folder_has_the_branch_that_was_named(work: Work, opened: Open) -> None:
    commit = work.commit({"a": "1"})
    found = opened(f"{work.url}#main")
    folder = Path(found.checkout(found.commit(), keep_git_dir=True))
    assert git(folder, "rev-parse", "main") == commit


def test_a_password_is_in_no_kept_git_folder(work: Work, opened: Open, tmp_path: Path) -> None:
    commit = work.commit({"a": "1"})
    with serving(backend(tmp_path / "srv", "me:s3cret")) as server:
        address = server.replace("://", "://me:s3cret@") + "/app.git"
        folder = opened(address).checkout(commit, keep_git_dir=True)
    for path in [*Path(folder).rglob("*"), *tmp_path.glob("cache/**/*"), *tmp_path.glob("scratch*/**/*")]:
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path


# servers


def test_over_http(work: Work, opened: Open, tmp_path: Path) -> None:
    work.commit({"a": "1"})
    commit = work.commit({"a": "2"})
    with serving(backend(tmp_path / "srv")) as server:
        found = opened(f"{server}/app.git", local=False)
        assert tree(found.checkout(found.commit())) == {"a": (0o644, b"2")}
        with pytest.raises(WherryError, match=r"git cannot read .*not found"):
            opened(f"{server}/other.git", local=False).commit()
    with pytest.raises(WherryError, match="git cannot read"):
        opened(f"{server}/app.git#main", local=False).commit()
    assert opened(f"{server}/app.git#{commit}", local=False).checkout(commit)


def test_over_http_from_plain_files(work: Work, opened: Open, tmp_path: Path) -> None:
    first = work.commit({"a": "1"})
    work.commit({"a": "2"})
    with serving(files_of(tmp_path / "srv")) as server:
        found = opened(f"{server}/app.git", local=False)
        assert tree(found.checkout(found.commit())) == {"a": (0o644, b"2")}
        assert tree(opened(f"{server}/app.git", local=False).checkout(first)) == {"a": (0o644, b"1")}


@pytest.mark.needs("openssl")
def test_over_tls(work: Work, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = work.commit({"a": "1"})
    certificate = tls.certificate(tmp_path)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"):
        monkeypatch.delenv(name, raising=False)
    with serving(backend(tmp_path / "srv"), certificate) as server:
        with pytest.raises(WherryError, match="certificate") as error:
            opened(f"{server}/app.git", local=False).commit()
        assert "SSL_CERT_FILE" in error.value.hint
        for name in ("SSL_CERT_FILE", "GIT_SSL_CAINFO"):
            with monkeypatch.context() as patch:
                patch.setenv(name, str(certificate))
                assert opened(f"{server}/app.git", local=False).commit() == commit


def test_proxies(work: Work, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None for this machine itself; for others the one that is set."""
    commit = work.commit({"a": "1"})
    asked: list[str] = []
    with serving(backend(tmp_path / "srv", asked=asked)) as server:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", "near.invalid")
        assert opened(f"{server}/app.git", local=False).commit() == commit
        monkeypatch.setenv("http_proxy", server)
        with pytest.raises(WherryError):
            opened("http://far.invalid/app.git", local=False).commit()
        with pytest.raises(WherryError, match=r"resolve|connect"):
            opened("http://near.invalid/app.git", local=False).commit()
    assert [line for line in asked if "http://far.invalid/app.git" in line]
    assert not [line for line in asked if "near.invalid" in line]


@pytest.mark.needs("root")
def test_a_repository_of_another_user_that_was_named(tmp_path: Path, opened: Open) -> None:
    work = Work(tmp_path / 'so "me' / "app")
    commit = work.commit({"a": "1"})
    subprocess.run(["chown", "-R", "12345:12345", work.folder.parent], check=True)
    for url in (work.url, f"file://{work.folder}"):
        found = opened(url)
        assert found.commit() == commit
        assert tree(found.checkout(commit)) == {"a": (0o644, b"1")}


def test_user_and_password(work: Work, opened: Open, tmp_path: Path) -> None:
    commit = work.commit({"a": "1"})
    with serving(backend(tmp_path / "srv", "me:p@ss w/rd'\"$x")) as server:
        good = server.replace("://", "://me:p@ss%20w%2Frd'\"$x@") + "/app.git"
        assert opened(good, local=False).commit() == commit
        for wrong in (server, server.replace("://", "://me:topsecret@")):
            with pytest.raises(WherryError, match="a user and a password") as error:
                opened(f"{wrong}/app.git", local=False).commit()
            assert "topsecret" not in f"{error.value} {error.value.hint}"


def test_a_password_is_in_no_process_list(
    work: Work, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git on the way writes down what it is started with, and starts the real one."""
    work.commit({"a": "1"})
    programs = tmp_path / "programs"
    programs.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (programs / "git").write_text(f'#!/bin/sh\necho "$0 $*" >>{programs}/log\nexec {real} "$@"\n')
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with serving(backend(tmp_path / "srv", "me:s3cret")) as server:
        found = opened(server.replace("://", "://me:s3cret@") + "/app.git", local=False)
        found.checkout(found.commit())
    log = (programs / "log").read_text()
    assert "ls-remote" in log
    assert "s3cret" not in log


@pytest.mark.parametrize("account", ["", "other:password"])
def test_a_redirect_to_another_host_gets_no_password(
    work: Work, opened: Open, tmp_path: Path, account: str
) -> None:
    work.commit({"a": "1"})
    headers: list[str] = []

    class Listening(backend(tmp_path / "srv", account)):  # type: ignore[misc]
        def answer(self) -> None:
            headers.append(self.headers.get("Authorization") or "")
            super().answer()

        do_GET = do_POST = answer

    with serving(Listening) as other:

        class Redirecting(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", other + self.path)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with serving(Redirecting) as server:
            found = opened(server.replace("://", "://me:s3cret@") + "/app.git", local=False)
            if account:
                with pytest.raises(WherryError, match="a user and a password"):
                    found.commit()
            else:
                assert found.checkout(found.commit())
    assert set(headers) == {""}


def test_over_ssh(work: Work, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = work.commit({"a": "1"})
    programs = fake_ssh(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_SSH_COMMAND", "false")
    for text in (f"git@host.invalid:{work.bare}", f"ssh://git@host.invalid:2222{work.bare}"):
        found = opened(text, local=False)
        assert found.commit() == commit
        assert tree(found.checkout(commit)) == {"a": (0o644, b"1")}
    log = (programs / "log").read_text()
    assert "BatchMode=yes" in log
    assert "-p 2222 git@host.invalid" in log


def test_why_ssh_failed(work: Work, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = fake_ssh(tmp_path / "programs")
    says = r"\033]0;owned\007git@h: \033[31mPermission denied (publickey)."
    (programs / "ssh").write_text(f"#!/bin/sh\nprintf '{says}\\n' >&2\nexit 255\n")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with pytest.raises(WherryError, match=r"git@h: Permission denied \(publickey\)") as error:
        opened("git@h:r.git", local=False).commit()
    assert "SSH_AUTH_SOCK" in error.value.hint


def test_without_git(work: Work, opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = work.commit({"a": "1"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WherryError, match="git is not installed") as error:
        opened(work.url).commit()
    assert error.value.hint == "install the package git"
    with pytest.raises(WherryError, match="git is not installed"):
        opened(work.url).checkout(commit)


# submodules


def test_submodules(work: Work, opened: Open, tmp_path: Path) -> None:
    deep, module = Work(tmp_path / "srv" / "deep"), Work(tmp_path / "srv" / "module")
    deep.commit({"z": "3"})
    module.commit({"m": "2"}, lambda folder: git(folder, "submodule", "add", "-q", str(deep.bare), "deep"))
    module.git("config", "-f", ".gitmodules", "submodule.deep.url", "../deep.git")
    module.commit({})
    work.commit({"a": "1"}, lambda folder: git(folder, "submodule", "add", "-q", str(module.bare), "lib"))
    work.git("config", "-f", ".gitmodules", "submodule.lib.url", "../module.git")
    commit = work.commit({})
    handlers: list[Handler] = [backend, files_of]
    for handler in handlers:
        with serving(handler(tmp_path / "srv")) as server:
            folder = opened(f"{server}/app.git", local=False).checkout(commit)
            without = opened(f"{server}/app.git?submodules=0", local=False).checkout(commit)
            kept = opened(f"{server}/app.git", local=False).checkout(commit, keep_git_dir=True)
        names = {"a", "lib/", "lib/m", "lib/deep/", "lib/deep/z", ".gitmodules", "lib/.gitmodules"}
        assert set(tree(folder)) == names
        assert set(tree(without)) == {"a", "lib/", ".gitmodules"}
        assert git(Path(kept), "submodule", "status", "--recursive").count("lib") == 2
        assert not list(Path(kept, ".git").rglob("logs"))


def test_submodules_reach_no_files_of_this_machine(work: Work, opened: Open, tmp_path: Path) -> None:
    other = Work(tmp_path / "private")
    other.commit({"key": "secret"})
    for number, url in enumerate((f"file://{other.bare}", str(other.bare), "../../private.git")):
        name = f"m{number}"
        work.git("submodule", "add", "-q", str(other.bare), name)
        work.git("config", "-f", ".gitmodules", f"submodule.{name}.url", url)
        commit = work.commit({})
        with pytest.raises(WherryError, match=r"not allowed|not exist|cannot read"):
            opened(work.url).checkout(commit)
        work.git("rm", "-q", "-f", name)
        work.commit({})
    assert not list(tmp_path.glob("scratch*/**/key"))


@pytest.mark.parametrize("key", ["update", "url"])
def test_a_submodule_that_is_to_run_a_command(work: Work, opened: Open, tmp_path: Path, key: str) -> None:
    marker = tmp_path / "ran"
    module = Work(tmp_path / "m")
    module.commit({"b": "2"})
    work.git("submodule", "add", "-q", str(module.bare), "m")
    value = {"update": f"!touch {marker}", "url": f"ext::touch {marker}"}[key]
    work.git("config", "-f", ".gitmodules", f"submodule.m.{key}", value)
    with pytest.raises(WherryError):
        opened(work.url).checkout(work.commit({}))
    assert not marker.exists()


# what is refused


def test_nothing_of_this_machine_is_executed_or_obeyed(
    work: Work, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        for folder in (hooks, work.bare / "hooks"):
            (folder / name).write_text(f"#!/bin/sh\necho {name} >>{marker}\n")
            (folder / name).chmod(0o755)
    commit = work.commit({".gitattributes": "* filter=evil\n", "a": "1"})
    marker.unlink(missing_ok=True)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {hooks}\n\tfsmonitor = "touch {marker}"\n'
        f"[init]\n\ttemplateDir = {hooks.parent}\n"
        f'[filter "evil"]\n\tsmudge = touch {marker}\n[url "file:///nowhere/"]\n\tinsteadOf = file://\n'
        f'[credential]\n\thelper = "!touch {marker}"\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(hooks.parent))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    for keep in (False, True):
        assert (Path(opened(work.url).checkout(commit, keep)) / "a").read_text() == "1"
    assert not marker.exists(), marker.read_text()


def test_protocols_for_those_who_may_not_name_files(work: Work, opened: Open) -> None:
    commit = work.commit({"a": "1"})
    with pytest.raises(WherryError, match="transport 'file' not allowed"):
        opened(work.url, local=False).commit()
    with pytest.raises(WherryError, match="transport 'file' not allowed"):
        opened(work.url, local=False).checkout(commit)


def test_a_redirect_to_another_protocol(work: Work, opened: Open) -> None:
    work.commit({"a": "1"})

    class Redirecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{work.url}/info/refs?service=git-upload-pack")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with serving(Redirecting) as server, pytest.raises(WherryError, match="git cannot read"):
        opened(f"{server}/app.git").commit()


def test_a_tree_with_a_git_folder_of_its_own(work: Work, opened: Open, tmp_path: Path) -> None:
    """git makes none, so it is made by hand."""
    work.commit({"a": "1"})
    blob = git(work.folder, "hash-object", "-w", "a")

    def made(line: str) -> str:
        done = subprocess.run(
            ["git", "mktree"], cwd=work.folder, input=line, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    hooks = made(f"100755 blob {blob}\tpost-checkout\n")
    inner = made(f"040000 tree {hooks}\thooks\n")
    for name in (".git", ".GIT", ".."):
        top = made(f"040000 tree {inner}\t{name}\n")
        commit = git(work.folder, "commit-tree", top, "-m", "evil")
        git(work.folder, "update-ref", "refs/heads/evil", commit)
        git(work.folder, "-c", "transfer.fsckObjects=false", "push", "-q", "-f", "origin", "evil")
        with pytest.raises(WherryError, match=r"invalid path|git cannot read"):
            opened(f"{work.url}#evil").checkout(commit)


def test_two_builds_at_once(work: Work, opened: Open, tmp_path: Path) -> None:
    commits = [work.commit({"a": str(number)}) for number in range(4)]
    program = (
        "import sys, os\nfrom wherry.build.remote.address import repository\n"
        "from wherry.build.remote.git import Git\n"
        "url, commit, scratch, cache = sys.argv[1:]\nos.mkdir(scratch)\n"
        "git = Git(repository(url, local=True), scratch, cache, local=True)\n"
        "print(open(git.checkout(commit) + '/a').read())"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, work.url, commit, tmp_path / f"s{index}", tmp_path / "cache"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for index, commit in enumerate(commits * 2)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["0", "1", "2", "3"] * 2
