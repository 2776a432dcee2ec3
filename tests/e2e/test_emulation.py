"""RUN for another machine, by qemu's user emulation: in each mode, and observed as native ones are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import busybox, foreign, ordinary
from support.cli import Wherry, write_files
from support.progress import words
from wherry.oci import platform as platforms
from wherry.runtime import emulation

pytestmark = [
    pytest.mark.needs("root", "newuidmap", "setpriv", foreign.EMULATOR),
    pytest.mark.skipif(os.uname().machine == "aarch64", reason="arm64 is no other machine here"),
]

FOR_ARM64 = ("--platform", "linux/arm64")
REGISTRATIONS = Path("/proc/sys/fs/binfmt_misc")


class Place(NamedTuple):
    wherry: Wherry
    folder: Path

    def built(self, *lines: str, files: dict[str, str] | None = None, more: tuple[str, ...] = ()) -> str:
        """What was said of the last of the instructions, which stand behind FROM."""
        text = "\n".join(["FROM arm", *lines]) + "\n"
        write_files(self.folder, {"Dockerfile": text, ".dockerignore": "Dockerfile\n"} | (files or {}))
        return list(words(self.wherry, self.folder, *FOR_ARM64, *more).values())[-1]


@pytest.fixture(params=["root", "userns", "single-id"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "root":
        wherry = Wherry(tmp_path / "wherry", tmp_path / "docker")
        busybox.put(wherry.root, "arm", platform=foreign.ARM64)
        yield Place(wherry, tmp_path / "context")
        return
    with ordinary.user(subordinate=request.param == "userns") as user:
        wherry = Wherry(user.home / "wherry", user.home / "docker", prefix=user.prefix)
        busybox.put(wherry.root, "arm", platform=foreign.ARM64)
        ordinary.hand_over(wherry.root)
        folder = user.home.parent / "context"
        folder.mkdir()
        folder.chmod(0o755)
        yield Place(wherry, folder)


@pytest.fixture
def as_root(tmp_path: Path) -> Place:
    wherry = Wherry(tmp_path / "wherry", tmp_path / "docker")
    busybox.put(wherry.root, "arm", platform=foreign.ARM64)
    return Place(wherry, tmp_path / "context")


LINES = (
    "COPY a /a",
    "RUN test $(uname -m) = aarch64 && mkdir /d && cp /a /d/a && ln -s a /d/l && chown -R 7:8 /d",
    "RUN test $0 = /bin/sh && test $(id -u) = 0 && chown web:extra /a && chmod 4750 /d/a",
    "USER web",
    "RUN test $(id -u) = 1000 && echo mine > ~/file && env -i /bin/busybox uname -m > ~/machine",
    "RUN cat /home/web/machine | grep aarch64",
)


def test_what_it_gives_is_the_same_in_all_modes(place: Place, as_root: Place) -> None:
    for each in (place, as_root):
        each.built(*LINES, files={"a": "1"}, more=("-t", "app"))
    images = [
        json.loads(each.wherry.ok("inspect", "--format", "{{json .RootFS}}", "app"))
        for each in (place, as_root)
    ]
    assert images[0] == images[1]
    assert len(images[0]["Layers"]) == 5  # the last step changes nothing


def test_an_edit_runs_it_again_only_if_it_looked_there(place: Place) -> None:
    lines = ("COPY . /app", "RUN cd /app && sh script && echo d/* > /listed")
    files = {"script": "cat /app/a > /out\n", "a": "1", "b": "1", "d/a": "1"}
    assert place.built(*lines, files=files) == "DONE"
    assert place.built(*lines, files={"b": "2"}).startswith("CACHED, REUSED")
    assert place.built(*lines, files={"d/a": "2"}).startswith("CACHED, REUSED")
    for edit in ({"a": "2"}, {"d/b": "1"}, {"script": "cat /app/b > /out\n"}):
        assert place.built(*lines, files=edit) == "DONE", edit


def test_programs_and_interpreters_are_looked_at(as_root: Place) -> None:
    lines = ("COPY --chmod=755 . /app", "RUN /app/script > /out; true")
    files = {"script": "#!/app/shell -e\necho 1\n", "shell": "#!/bin/sh\necho 2\n", "other": "1"}
    assert as_root.built(*lines, files=files) == "DONE"
    assert as_root.built(*lines, files={"other": "2"}).startswith("CACHED, REUSED")
    assert as_root.built(*lines, files={"shell": "#!/bin/sh\necho 3\n"}) == "DONE"


HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'


@pytest.mark.parametrize("flags", [(), ("-static",)], ids=["with libraries", "static"])
def test_a_programs_loader_and_libraries_are_looked_at(as_root: Place, flags: tuple[str, ...]) -> None:
    libraries = as_root.folder / "lib"
    libraries.mkdir(parents=True)
    foreign.compiled(HELLO, as_root.folder / "hello", *flags)
    for name in ("ld-linux-aarch64.so.1", "libc.so.6"):
        shutil.copy(foreign.LIBRARIES / name, libraries)
    lines = ("COPY . /", "RUN /hello | grep hello > /out")
    assert as_root.built(*lines, files={"other": "1"}) == "DONE"
    assert as_root.built(*lines, files={"other": "2"}).startswith("CACHED, REUSED")
    for name in ("ld-linux-aarch64.so.1", "libc.so.6"):
        with (libraries / name).open("ab") as file:
            file.write(b"more")
        again = as_root.built(*lines)
        assert again.startswith("CACHED, REUSED") if flags else again == "DONE"


def test_a_place_where_the_emulator_looks_counts_too(as_root: Place) -> None:
    """It takes /etc/qemu-binfmt/aarch64/app/a for /app/a where that is there."""
    lines = ("COPY . /", "RUN cat /app/a > /out")
    assert as_root.built(*lines, files={"app/a": "1", "b": "1"}) == "DONE"
    assert as_root.built(*lines, files={"b": "2"}).startswith("CACHED, REUSED")
    assert as_root.built(*lines, files={"etc/qemu-binfmt/aarch64/app/a": "2"}) == "DONE"


def test_other_steps_and_the_machine_have_no_emulator(as_root: Place) -> None:
    """A native step that tries to execute a foreign program gets what it gets without qemu."""
    before = sorted(REGISTRATIONS.iterdir())
    busybox.put(as_root.wherry.root, "here")
    text = "FROM arm AS foreign\nRUN uname -m > /machine\nFROM here\nCOPY --from=foreign /bin/busybox /arm\n"
    text += "COPY --from=foreign /machine /machine\nRUN grep aarch64 /machine && ! /arm true\n"
    write_files(
        as_root.folder, {"Dockerfile": text.replace("FROM here", "FROM --platform=$BUILDPLATFORM here")}
    )
    found = words(as_root.wherry, as_root.folder, *FOR_ARM64)
    assert list(found.values())[-1] == "DONE"
    assert sorted(REGISTRATIONS.iterdir()) == before


def test_the_emulator_cannot_be_written_to(as_root: Place) -> None:
    """Its program is the host's, and the container's root has it open (CVE-2019-5736)."""
    write = "sleep 60 & chmod 755 /proc/$!/exe 2>&1 | tee /dev/stderr | grep 'Read-only file system'"
    assert as_root.built(f"RUN {write} && kill $!") == "DONE"


def test_a_step_comes_by_no_registrations(place: Place) -> None:
    lines = "! umount /proc && ! mount -t binfmt_misc none /proc && ! test -e /proc/register && ls /proc/self"
    assert place.built(f"RUN {lines}") == "DONE"


def test_the_name_that_a_program_is_called_by_is_kept(place: Place) -> None:
    assert (
        place.built("RUN cp /bin/busybox /anything && test $(exec -a uname /anything -m) = aarch64") == "DONE"
    )


def test_without_an_emulator_it_says_what_to_do(as_root: Place, tmp_path: Path) -> None:
    write_files(as_root.folder, {"Dockerfile": "FROM arm\nRUN true\n"})
    empty = {"PATH": str(tmp_path / "nothing")}
    result = as_root.wherry("build", *FOR_ARM64, as_root.folder, env=empty)
    assert result.code == 1
    assert "cannot execute programs for linux/arm64: there is no static qemu for it" in result.err
    assert "hint: sudo apt-get install qemu-user-static" in result.err
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "qemu-aarch64").symlink_to("/bin/ls")  # needs libraries, which an image has not
    assert "there is no static qemu" in as_root.wherry("build", *FOR_ARM64, as_root.folder, env=empty).err


@pytest.mark.needs("crun")
def test_other_runtimes_need_one_that_is_registered(as_root: Place) -> None:
    write_files(as_root.folder, {"Dockerfile": "FROM arm\nRUN true\n"})
    result = as_root.wherry("build", *FOR_ARM64, "--runtime=crun", as_root.folder)
    assert result.code == 1
    assert "here this needs an emulator that is registered with the kernel" in result.err


def test_a_failed_step_is_entered_with_it(place: Place) -> None:
    write_files(place.folder, {"Dockerfile": "FROM arm\nRUN echo left > /left; false\n"})
    assert place.wherry("build", *FOR_ARM64, place.folder).code == 1
    assert place.wherry.ok("debug", "--", "sh", "-c", "cat /left; uname -m") == "left\naarch64\n"


def test_info_says_what_can_be_executed(as_root: Place, tmp_path: Path) -> None:
    facts = json.loads(as_root.wherry.ok("info", "-f", "json"))
    here = str(platforms.host())
    assert facts["Platforms"][0] == here
    assert "linux/arm64" in facts["Emulated"]
    assert here not in facts["Emulated"]
    without = as_root.wherry("info", env={"PATH": str(tmp_path)}).out
    assert "by qemu:    none (docs/platforms.md)\n" in without


FORBIDDEN = """
echo 1 > /proc/sys/user/max_user_namespaces
exec "$@"
"""


def test_where_no_namespace_is_to_be_had_it_says_so(tmp_path: Path) -> None:
    """The one that it may have is that of the mode single-id."""
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", FORBIDDEN, "machine"]
    wherry = Wherry(tmp_path / "wherry", tmp_path / "docker", prefix=prefix)
    busybox.put(wherry.root, "arm", platform=foreign.ARM64)
    write_files(tmp_path / "context", {"Dockerfile": "FROM arm\nRUN true\n"})
    result = wherry("build", *FOR_ARM64, tmp_path / "context")
    assert result.code == 1
    assert "cannot emulate another machine's programs: cannot make a user namespace: No space" in result.err
    assert "hint: register emulators for all of the machine" in result.err


REGISTERED = """
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
/bin/printf %s "$1" > /proc/sys/fs/binfmt_misc/register
shift
PATH=/nowhere exec "$@"
"""


def test_one_that_the_machine_has_registered_will_do(tmp_path: Path) -> None:
    """The machine is a user namespace with registrations of its own, and has no qemu to be found."""
    found = emulation.find(foreign.ARM64, own=True)
    assert found is not None
    line = found.registration.decode().replace(":aarch64:", ":qemu-aarch64:", 1)
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", REGISTERED, "machine", line]
    wherry = Wherry(tmp_path / "wherry", tmp_path / "docker", prefix=prefix)
    busybox.put(wherry.root, "arm", platform=foreign.ARM64)
    place = Place(wherry, tmp_path / "context")
    assert place.built("RUN uname -m | grep aarch64") == "DONE"
