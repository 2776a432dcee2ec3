from __future__ import annotations

import io
import tarfile
from pathlib import Path

from wherry.bootstrap import busybox, content, recipes
from wherry.bootstrap.mmdebstrap import EPOCH
from wherry.bootstrap.sources import Source
from wherry.layer.writer import LayerWriter


def stream(members: dict[str, bytes | None], mtime: int = 0) -> io.BytesIO:
    """A tar as mmdebstrap writes it; None is a folder."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, text in members.items():
            member = tarfile.TarInfo("./" + name)
            member.mtime = mtime
            if text is None:
                member.type = tarfile.DIRTYPE
                member.mode = 0o755
                archive.addfile(member)
            else:
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))
    data.seek(0)
    return data


def written(
    members: dict[str, bytes | None], name: str = "debian", source: Source | None = None, mtime: int = 0
) -> tarfile.TarFile:
    output = io.BytesIO()
    with LayerWriter(output.write) as writer:
        chosen = [source] if source else []
        content.write(writer, stream(members, mtime), recipes.parse(name), chosen)
        writer.finish()
    output.seek(0)
    return opened(output)


def opened(data: io.BytesIO) -> tarfile.TarFile:
    return tarfile.open(fileobj=data)


def text(archive: tarfile.TarFile, name: str) -> str:
    member = archive.extractfile(name)
    assert member is not None
    return member.read().decode()


def test_what_differs_between_machines_is_left_out() -> None:
    names = written(
        {
            "dev": None,
            "dev/null": b"",
            "etc": None,
            "etc/hostname": b"mine",
            "etc/resolv.conf": b"nameserver",
            "etc/apt/apt.conf.d/99mmdebstrap": b"Dir::Etc::netrc /etc/apt/auth.conf",
            "etc/apt/sources.list.d/0000machine.sources": b"http://user:secret@host/",
            "etc/passwd": b"root",
            "etc/passwd-": b"root",
            "var/log": None,
            "var/log/nginx": None,
            "var/log/dpkg.log": b"2026",
            "var/log/nginx/error.log": b"",
            "var/cache/ldconfig/aux-cache": b"",
            "var/lib/dpkg/status": b"",
            "var/lib/dpkg/status-old": b"",
        }
    ).getnames()
    assert {"dev", "etc", "etc/passwd", "var/log", "var/log/nginx", "var/lib/dpkg/status"} <= set(names)
    for gone in ("dev/null", "etc/hostname", "etc/resolv.conf", "etc/passwd-", "var/log/dpkg.log"):
        assert gone not in names
    assert not [
        name for name in names if name.endswith(("error.log", "aux-cache", "status-old", "99mmdebstrap"))
    ]
    assert "etc/apt/sources.list.d/0000machine.sources" not in names


def test_times_are_clamped_and_older_ones_stay() -> None:
    young = written({"etc": None, "etc/passwd": b""}, mtime=EPOCH + 1000)
    assert {member.mtime for member in young} == {EPOCH}
    old = written({"etc": None, "etc/passwd": b""}, mtime=1000)
    assert old.getmember("etc/passwd").mtime == 1000


def test_the_machine_s_sources_come_without_logins_and_with_their_keys(tmp_path: Path) -> None:
    key = tmp_path / "a.gpg"
    key.write_bytes(bytes(range(256)))
    source = Source(("http://user:secret@host/debian",), ("bookworm",), ("main",), (("Signed-By", str(key)),))
    archive = written({"etc": None}, source=source)
    assert text(archive, "etc/apt/sources.list.d/wherry.sources") == (
        f"Types: deb\nURIs: http://host/debian\nSuites: bookworm\nComponents: main\nSigned-By: {key}\n"
    )
    member = archive.extractfile(str(key).lstrip("/"))
    assert member is not None
    assert member.read() == key.read_bytes()


def test_every_folder_comes_before_what_is_in_it() -> None:
    seen: set[str] = set()
    for member in written({"etc": None, "usr": None, "usr/sbin": None}, name="nginx"):
        parent = member.name.rpartition("/")[0]
        assert not parent or parent in seen, member.name
        seen.add(member.name)
    assert "usr/sbin/policy-rc.d" in seen


def test_a_file_that_wherry_sets_is_there_once() -> None:
    archive = written(
        {
            "etc": None,
            "etc/nginx/sites-enabled": None,
            "etc/nginx/sites-enabled/default": b"theirs",
            "etc/nginx/conf.d/default.conf": b"theirs",
            "var/log/nginx": None,
        },
        name="nginx",
    )
    names = archive.getnames()
    assert names.count("etc/nginx/conf.d/default.conf") == 1
    assert "root /usr/share/nginx/html" in text(archive, "etc/nginx/conf.d/default.conf")
    assert "etc/nginx/sites-enabled/default" not in names
    assert archive.getmember("var/log/nginx/access.log").linkname == "/dev/stdout"


def test_the_options_of_dpkg_keep_their_effect_under_another_name() -> None:
    archive = written({"etc": None, "etc/dpkg/dpkg.cfg.d": None, "etc/dpkg/dpkg.cfg.d/99mmdebstrap": b"x"})
    assert text(archive, "etc/dpkg/dpkg.cfg.d/wherry") == "x"


def test_busybox_has_the_commands_that_its_program_names(tmp_path: Path) -> None:
    program = b"#!/bin/sh\nprintf 'sh\\nls\\nbusybox\\n../evil\\n'\n"
    output = io.BytesIO()
    with LayerWriter(output.write) as writer:
        busybox.write(
            writer, stream({"bin": None, "bin/busybox": program, "etc/hostname": b"x"}), str(tmp_path)
        )
        writer.finish()
    output.seek(0)
    archive = opened(output)
    assert archive.getmember("bin/ls").linkname == "bin/busybox"
    assert {name for name in archive.getnames() if name.startswith("bin/")} == {
        "bin/busybox",
        "bin/ls",
        "bin/sh",
    }
    assert "etc/hostname" not in archive.getnames()
    assert archive.getmember("tmp").mode == 0o1777
