"""Where COPY and ADD put things, as BuildKit does. Nothing here needs root, a mount or a process."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.trees import Node, tree
from wherry.base.errors import WherryError
from wherry.build.build import Built, build
from wherry.build.options import Options
from wherry.store.store import Store

Context = Callable[[Mapping[str, str | bytes]], Path]

FILES = {"a": "A", "b": "B", "d/x": "X", "d/sub/y": "Y", "e/": ""}


def made(store: Store, context: Context, dockerfile: str, files: Mapping[str, str | bytes] = FILES) -> Built:
    folder = context({**files, "Dockerfile": dockerfile, ".dockerignore": "Dockerfile\n.dockerignore\n"})
    return build(store, Options(context=str(folder)))


def paths(store: Store, context: Context, *lines: str) -> dict[str, str]:
    """Path -> content, folders end with a slash."""
    built = made(store, context, "\n".join(["FROM scratch", *lines]))
    return {
        path + ("/" if node.kind == "d" else ""): node.content
        for path, node in tree(store, built.image).items()
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["COPY a /n"], {"n": "A"}),
        (["COPY a /n/"], {"n/": "", "n/a": "A"}),
        (["COPY a /n/m"], {"n/": "", "n/m": "A"}),
        (["COPY a ."], {"a": "A"}),
        (["COPY a b /n/"], {"n/": "", "n/a": "A", "n/b": "B"}),
        (["COPY d /n"], {"n/": "", "n/x": "X", "n/sub/": "", "n/sub/y": "Y"}),
        (["COPY d/ /n/"], {"n/": "", "n/x": "X", "n/sub/": "", "n/sub/y": "Y"}),
        (["COPY d a /n/"], {"n/": "", "n/x": "X", "n/sub/": "", "n/sub/y": "Y", "n/a": "A"}),
        (["COPY e /n"], {"n/": ""}),
        (["COPY none* /n/"], {}),
        (["COPY none* a /n/"], {"n/": "", "n/a": "A"}),
        (["COPY ? /n/"], {"n/": "", "n/a": "A", "n/b": "B", "n/x": "X", "n/sub/": "", "n/sub/y": "Y"}),
        (["COPY d /n", "COPY a /n"], {"n/": "", "n/x": "X", "n/sub/": "", "n/sub/y": "Y", "n/a": "A"}),
        (["COPY a /n", "COPY b /n"], {"n": "B"}),
        (["WORKDIR /w", "COPY a ."], {"w/": "", "w/a": "A"}),
        (["WORKDIR /w", "COPY a sub/n"], {"w/": "", "w/sub/": "", "w/sub/n": "A"}),
        (["WORKDIR /w", "COPY a ../n"], {"w/": "", "n": "A"}),
        (["WORKDIR /w", "WORKDIR v", "COPY a ./"], {"w/": "", "w/v/": "", "w/v/a": "A"}),
        (["COPY a /../../n"], {"n": "A"}),
        (["COPY <<E /n\ntext\nE"], {"n": "text\n"}),
        (["COPY <<E <<F /n/\none\nE\ntwo\nF"], {"n/": "", "n/E": "one\n", "n/F": "two\n"}),
    ],
)  # fmt: skip
def test_targets(store: Store, context: Context, lines: list[str], expected: dict[str, str]) -> None:
    assert paths(store, context, *lines) == expected


def test_several_sources_need_a_folder_as_target(store: Store, context: Context) -> None:
    with pytest.raises(WherryError, match="must be a folder and end with a /"):
        made(store, context, "FROM scratch\nCOPY a b /n\n")


def test_a_folder_does_not_take_a_files_place_nor_a_file_a_folders(store: Store, context: Context) -> None:
    with pytest.raises(WherryError, match="cannot copy to /n"):
        made(store, context, "FROM scratch\nCOPY a /n\nCOPY d /n\n")
    with pytest.raises(WherryError, match="cannot copy to /n/sub"):
        made(store, context, "FROM scratch\nCOPY a /n/sub\nCOPY d /n\n")


def test_links_in_the_target_are_followed_inside_the_image(store: Store, context: Context) -> None:
    folder = context({**FILES, "links/": ""})
    (folder / "links" / "to").symlink_to("/real")
    (folder / "links" / "out").symlink_to("../../../../etc")
    found = paths(store, context, "COPY links /", "COPY a /to/", "COPY b /out/passwd")
    assert found["real/a"] == "A"
    assert found["etc/passwd"] == "B"
    assert found["to"] == "/real"


def test_a_file_replaces_a_link_that_is_copied_over(store: Store, context: Context) -> None:
    folder = context({"one/": "", "two/f": "new", "real": "old"})
    (folder / "one" / "f").symlink_to("/real")
    found = paths(store, context, "COPY real /", "COPY one /x", "COPY two /x")
    assert (found["x/f"], found["real"]) == ("new", "old")


def test_modes_are_kept_and_owners_are_root(store: Store, context: Context) -> None:
    folder = context({"run.sh": "#!"})
    (folder / "run.sh").chmod(0o4755)
    built = made(store, context, "FROM scratch\nCOPY run.sh /x/\n", {})
    assert tree(store, built.image) == {"x": Node("d", 0o755), "x/run.sh": Node("f", 0o4755, 0, 0, "#!")}


def test_chown_and_chmod(store: Store, context: Context) -> None:
    passwd = "root:x:0:0::/:/bin/sh\napp:x:7:8::/home:/bin/sh\n"
    lines = [
        "FROM scratch",
        "COPY passwd group /etc/",
        "COPY --chown=app a /named/",
        "COPY --chown=app:staff a /both/",
        "COPY --chown=5 a /number/",
        "COPY --chown=5:6 --chmod=0600 d /all",
        "COPY --chmod=u=rwX,go=rX d /letters",
    ]
    files = {**FILES, "passwd": passwd, "group": "staff:x:50:\n"}
    found = tree(store, made(store, context, "\n".join(lines), files).image)
    assert found["named/a"][2:4] == found["named"][2:4] == (7, 8)
    assert found["both/a"][2:4] == (7, 50)
    assert found["number/a"][2:4] == (5, 5)
    assert found["all/sub/y"] == Node("f", 0o600, 5, 6, "Y")
    assert found["all/sub"] == Node("d", 0o600, 5, 6)
    assert (found["letters/sub"].mode, found["letters/sub/y"].mode) == (0o755, 0o644)
    assert found["etc"] == Node("d", 0o755)


def test_an_owner_that_the_image_does_not_know(store: Store, context: Context) -> None:
    with pytest.raises(WherryError, match="nobody-knows") as caught:
        made(store, context, "FROM scratch\nCOPY --chown=nobody-knows a /\n")
    assert str(caught.value.where) == "Dockerfile:2"


def test_a_stage_keeps_its_owners(store: Store, context: Context) -> None:
    lines = ["FROM scratch AS one", "COPY --chown=5:6 d /d", "FROM scratch", "COPY --from=one /d /e"]
    found = tree(store, made(store, context, "\n".join(lines)).image)
    assert found["e/x"] == Node("f", 0o644, 5, 6, "X")
    assert found["e"] == Node("d", 0o755)


@pytest.mark.parametrize("origin", ["one", "ONE", "0"])
def test_stages_by_name_and_number(store: Store, context: Context, origin: str) -> None:
    lines = ["FROM scratch AS one", "COPY a /", "FROM scratch", f"COPY --from={origin} /a /b"]
    assert set(tree(store, made(store, context, "\n".join(lines)).image)) == {"b"}


def test_copy_from_another_image(store: Store, context: Context) -> None:
    from wherry.oci import reference

    folder = context({**FILES, "Dockerfile": "FROM scratch\nCOPY d /d\n"})
    build(store, Options(context=str(folder), tags=(reference.parse("other:1").with_default_tag(),)))
    found = tree(store, made(store, context, "FROM scratch\nCOPY --from=other:1 /d/x /\n").image)
    assert found == {"x": Node("f", 0o644, 0, 0, "X")}


def test_a_missing_file_of_a_stage_names_the_stage(store: Store, context: Context) -> None:
    lines = "FROM scratch AS one\nCOPY a /\nFROM scratch\nCOPY --from=one /aa /\n"
    with pytest.raises(WherryError, match="'/aa' is not in stage 'one'"):
        made(store, context, lines)


def archive(compression: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open("archive", f"w:{compression}", buffer) as tar:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("top")
        folder.type, folder.mode, folder.uid = tarfile.DIRTYPE, 0o750, 3
        tar.addfile(folder)
        file = tarfile.TarInfo("top/f")
        file.size, file.uid, file.gid, file.mtime = 4, 3, 4, 1000
        tar.addfile(file, io.BytesIO(b"text"))
        link = tarfile.TarInfo("top/h")
        link.type, link.linkname = tarfile.LNKTYPE, "top/f"
        tar.addfile(link)
        implied = tarfile.TarInfo("new/deep/g")
        tar.addfile(implied)
    return buffer.getvalue()


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_add_unpacks_archives_by_content(store: Store, context: Context, compression: str) -> None:
    files = {"any.name": archive(compression)}
    found = tree(store, made(store, context, "FROM scratch\nADD any.name /n\n", files).image)
    assert found["n/top"] == Node("d", 0o750, 3)
    assert found["n/top/f"] == Node("f", 0o644, 3, 4, "text")
    assert found["n/top/h"].content == "text"
    assert found["n/new/deep"] == Node("d", 0o755)


def test_add_of_what_is_no_archive_copies(store: Store, context: Context) -> None:
    files: dict[str, str | bytes] = {"a.tar.gz": "no tar", "d/b.tar": archive("")}
    found = tree(store, made(store, context, "FROM scratch\nADD a.tar.gz d /n/\n", files).image)
    assert set(found) == {"n", "n/a.tar.gz", "n/b.tar"}


def test_add_can_be_told_not_to_unpack_and_whom_it_belongs_to(store: Store, context: Context) -> None:
    files = {"t": archive("gz")}
    lines = "FROM scratch\nADD --unpack=false t /one/\nADD --chown=8:9 t /two/\n"
    found = tree(store, made(store, context, lines, files).image)
    assert found["one/t"].kind == "f"
    assert found["two/top/f"][2:4] == (8, 9)


def test_an_archive_does_not_leave_its_target(store: Store, context: Context) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../evil"))
    with pytest.raises(WherryError):
        made(store, context, "FROM scratch\nADD t /a/b/\n", {"t": buffer.getvalue()})


def test_an_archive_does_not_write_through_its_own_links(store: Store, context: Context) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("l/passwd"))
    with pytest.raises(WherryError, match="below a symbolic link of its own"):
        made(store, context, "FROM scratch\nADD t /\n", {"t": buffer.getvalue()})


def test_archives_of_one_name_are_all_unpacked(store: Store, context: Context) -> None:
    archives = {}
    for name in ("one", "two"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(name))
        archives[f"{name}/t"] = buffer.getvalue()
    built = made(store, context, "FROM scratch\nADD one/t two/t <<t /n/\ntext\nt\n", archives)
    assert set(tree(store, built.image)) == {"n", "n/one", "n/two", "n/t"}
    with pytest.raises(WherryError, match="which another source gives too"):
        made(store, context, "FROM scratch\nADD a d /n/\n", {"a": "A", "d/a/x": "X"})


def test_two_clones_give_the_same_image(store: Store, tmp_path: Path) -> None:
    import shutil

    from support.cli import write_files

    text = "FROM scratch\nCOPY . /src\nWORKDIR /w\nENV A=1\n"
    one = write_files(tmp_path / "one", {**FILES, "Dockerfile": text})
    two = shutil.copytree(one, tmp_path / "two")
    os.utime(two / "a", (1, 1))
    with Store.open(str(tmp_path / "other-store")) as other:
        assert build(store, Options(context=str(one))).image == build(other, Options(context=str(two))).image


def test_a_second_build_executes_nothing_and_a_change_what_it_must(store: Store, context: Context) -> None:
    text = "FROM scratch AS one\nCOPY a /\nCOPY d /d\nFROM scratch\nCOPY --from=one /a /\nWORKDIR /w\n"
    assert made(store, context, text).executed == 4
    assert made(store, context, text).executed == 0
    # `d` is changed: the stage's second step runs, and what is copied from the stage is the same as before.
    changed = made(store, context, text, {"d/x": "changed"})
    assert changed.executed == 1
    assert made(store, context, text, {"d/x": "changed"}).executed == 0


def test_no_cache_executes_all_with_the_same_result(store: Store, context: Context) -> None:
    text = "FROM scratch\nCOPY a /\nWORKDIR /w\n"
    first = made(store, context, text)
    folder = context({})
    again = build(store, Options(context=str(folder), no_cache=True))
    assert (again.executed, again.image) == (2, first.image)


def test_unused_stages_are_not_built(store: Store, context: Context) -> None:
    text = "FROM nowhere.invalid/none AS unused\nRUN false\nFROM scratch AS used\nCOPY a /\nFROM used\n"
    assert made(store, context, text).steps == 2


def test_bytecode_of_another_version_is_not_taken_for_a_copied_source(store: Store, context: Context) -> None:
    import py_compile

    from wherry.build.times import DEFAULT_EPOCH
    from wherry.layer.layers import Layers
    from wherry.snapshot.view import View

    folder = context({"one/app.py": "x = 1\n", "two/app.py": "x = 2\n", "two/lib.py": "y = 1\n"})
    source = folder / "one" / "app.py"
    os.utime(source, (DEFAULT_EPOCH, DEFAULT_EPOCH))
    cached = py_compile.compile(str(source), str(folder / "one" / "__pycache__" / "app.cpython-311.pyc"))
    assert cached and int.from_bytes(Path(cached).read_bytes()[8:12], "little") == DEFAULT_EPOCH
    built = made(store, context, "FROM scratch\nCOPY one /app\nCOPY two /app\n")
    view = View(Layers(store), store.images.get(built.image).config.diff_ids)
    times = {name: view.lookup(f"app/{name}").entry.mtime for name in ("app.py", "lib.py")}  # type: ignore[union-attr]
    assert times == {"app.py": (DEFAULT_EPOCH + 1) * 10**9, "lib.py": DEFAULT_EPOCH * 10**9}


def test_hard_links_of_a_stage_stay_hard_links(store: Store, context: Context) -> None:
    lines = "FROM scratch AS one\nADD t /\nFROM scratch\nCOPY --from=one /top /n\n"
    built = made(store, context, lines, {"t": archive("")})
    (layer,) = store.images.get(built.image).config.diff_ids
    from wherry.layer.layers import Layers

    kinds = {entry.path: (entry.kind, entry.link) for entry in Layers(store).index(layer).entries}
    assert kinds == {"n": ("d", ""), "n/f": ("f", ""), "n/h": ("h", "n/f")}
    assert tree(store, built.image)["n/h"].content == "text"


def test_no_descriptor_is_left_open(store: Store, context: Context) -> None:
    made(store, context, "FROM scratch\nCOPY a /\n")
    before = os.listdir("/proc/self/fd")
    made(store, context, "FROM scratch\nCOPY b /\nCOPY d /d\n")
    assert len(os.listdir("/proc/self/fd")) == len(before)
