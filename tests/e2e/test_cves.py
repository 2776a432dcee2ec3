"""Known attacks on other builders and runtimes, replayed: each as root and as an ordinary user.

The attacker wrote the Dockerfile, the base image or the build context. What he is after is a folder of the
user who builds, outside of the store: to read its secret, or to change anything in it.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import busybox, programs
from support.cli import Result, Wherry, write_files
from support.running import run
from support.victim import Victim
from wherry.runtime.mounts import remove_created
from wherry.runtime.native import Native
from wherry.runtime.spec import Mount
from wherry.testing import trees

pytestmark = pytest.mark.needs("root", "busybox", "newuidmap")


def steps(result: Result) -> str:
    """What a build printed, where it had to succeed."""
    assert result.code == 0, result.err
    return result.err


def test_cve_2024_1753_a_bind_mount_s_source_is_a_link_to_the_host(victim: Victim) -> None:
    """buildah joined the source to the image's root: a link to / in a dummy image mounted the host's.

    Here: links in a stage to the root, to the treasure and up, as source, on the way to it, and as target.
    """
    dummy = (
        f"FROM base AS dummy\nRUN ln -s / /root-link && ln -s {victim.treasure} /direct "
        "&& ln -s ../../../../../.. /up && ln -s /proc/self/root /magic && touch /mark\n"
    )
    for source in ("/root-link", "/up", "/root-link/up/root-link"):
        mount = f"--mount=type=bind,from=dummy,source={source},target=/m,rw"
        see = f"test -f /m/mark && test ! -e /m{victim.treasure}"
        result = victim.build(f"{dummy}FROM base\nRUN {mount} {see}\n")
        steps(result)
        victim.keeps(result)
    for source in ("/direct", f"/root-link{victim.treasure}", f"/magic{victim.treasure}"):
        mount = f"--mount=type=bind,from=dummy,source={source},target=/m,rw"
        result = victim.build(f"{dummy}FROM base\nRUN {mount} cat /m/secret; touch /m/planted\n")
        assert (result.code, "is not in" in result.err) == (1, True), result.err
        victim.keeps(result)
    mount = "--mount=type=tmpfs,target=/direct/planted --mount=type=cache,target=/up/direct/cached"
    victim.keeps(
        victim.build(f"{dummy}FROM dummy\nRUN {mount} cat /direct/secret; touch /direct/planted/x\n")
    )


def test_cve_2024_9675_a_cache_s_id_leads_out_of_the_caches(victim: Victim) -> None:
    """buildah joined the id to its folder of caches, so `id=../../root` mounted any folder there is."""
    up = "../" * 20
    for option in (
        f"id={up}{victim.treasure},target=/var/tmp",
        f"id={victim.treasure},target=/var/tmp",
        f"id=x/{up}{victim.treasure},target=/var/tmp",
        f"target=/var/tmp,from=base,source={up}{victim.treasure}",
        "id=..,target=/var/tmp",
        "id=.,target=/var/tmp",
    ):
        attempt = "cat /var/tmp/secret; touch /var/tmp/BREAKOUT; ls /var/tmp > /listed"
        result = victim.build(f"FROM base\nRUN --mount=type=cache,{option} {attempt}\n", "--no-cache")
        assert result.code == 0 or "is not in" in result.err
        victim.keeps(result)
    caches = victim.wherry.root / "cache-mounts"
    assert len(list(caches.glob("*/0/BREAKOUT"))) == 5
    assert not list(victim.home.glob("*/BREAKOUT"))


def test_cve_2024_9676_the_users_are_looked_up_in_a_device(victim: Victim) -> None:
    """containers/storage opened /etc/passwd through a link, on the host: /dev/zero ate all memory, and a
    pipe hung."""
    for file in (
        "/dev/zero",
        "/dev/random",
        "/pipe",
        "/proc/self/mem",
        "/large",
        f"{victim.treasure}/secret",
    ):
        make = f"mkfifo /pipe; dd if=/dev/null of=/large bs=1 seek=99999999; ln -sf {file} /etc/{{}}"
        for name, user in (("passwd", "app"), ("group", "0:app")):
            began = time.monotonic()
            result = victim.build(f"FROM base\nRUN {make.format(name)}\nUSER {user}\nRUN true\n")
            assert result.code == 1, result.err
            assert "unable to find" in result.err or "is larger than" in result.err, result.err
            copied = victim.build(f"FROM base\nRUN {make.format(name)}\nCOPY --chown={user} a /\n", a="a")
            assert copied.code == 1
            assert time.monotonic() - began < 30
            victim.keeps(result, copied)


SWAP = (
    "FROM base\nRUN --mount=type=cache,id=shared,target=/c "
    "while test ! -e /c/stop; do rm -rf /c/sub; ln -s '{target}' /c/sub; rm /c/sub; mkdir /c/sub; done\n"
)


def test_cve_2024_23651_a_parallel_step_swaps_a_folder_of_a_cache(victim: Victim) -> None:
    """BuildKit resolved a mount's subpath in a shared cache and mounted it later; between the two another
    step put a link to the host in its place.

    Here the sources of mounts are images' files alone, which no step can change; what can be changed
    meanwhile are the targets of mounts within a cache, which wherry makes where they are missing.
    """
    targets = [f"--mount=type=tmpfs,target=/c/sub/planted{number}" for number in range(3)]
    attack = "\n".join(
        f"RUN --mount=type=cache,id=shared,target=/c {target} cat /c/sub/secret; true"
        for target in targets
        for _ in range(5)
    )
    swap = write_files(victim.home / "swap", {"Dockerfile": SWAP.format(target=victim.treasure)})
    swapping = victim.wherry.start("build", "--no-cache", swap)
    try:
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            result = victim.build(f"FROM base\n{attack}\n", "--no-cache")
            victim.keeps(result)
        assert swapping.poll() is None
    finally:
        [cache] = (victim.wherry.root / "cache-mounts").glob("shared-*/0")
        (cache / "stop").touch()
        swapping.communicate(timeout=60)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_cve_2024_45310_other_runtimes_make_no_mount_point_in_a_cache(victim: Victim, runtime: str) -> None:
    """runc made a mount point through a link that somebody put there meanwhile: an empty file of the host."""
    programs.require(runtime)
    mounts = "--mount=type=cache,id=shared,target=/c --mount=type=tmpfs,target=/c/sub"
    result = victim.build(f"FROM base\nRUN {mounts} true\n", f"--runtime={runtime}")
    assert result.code == 1
    assert "a mount inside of the cache on /c (/c/sub) needs the built-in runtime" in result.err
    assert (
        victim.build(f"FROM base\nRUN {mounts.replace('/c/sub', '/d')} true\n", f"--runtime={runtime}").code
        == 0
    )


def test_cve_2024_23652_a_mount_s_stub_is_removed_through_a_link(victim: Victim) -> None:
    """BuildKit removed the empty files that it had made to mount on by their paths: a step that left a link
    in the place of the folder above had any empty file or folder of the host deleted."""
    for name, mount in (
        ("empty", "--mount=type=secret,id=x,target=/d/s/empty"),
        ("folder", "--mount=type=tmpfs,target=/d/s/folder"),
    ):
        replace = f"mv /d/s /d/old && ln -s {victim.treasure} /d/s && ls /d/old/{name}"
        result = victim.build(
            f"FROM base\nRUN mkdir /d\nRUN {mount} {replace}\n", "--secret", "id=x,env=X", "--no-cache"
        )
        victim.keeps(result)
        whole = f"mv /d /old && ln -s {victim.home} /d && ls /old"
        mount = mount.replace("/d/s/", "/d/treasure/")
        victim.keeps(
            victim.build(f"FROM base\nRUN {mount} {whole}\n", "--secret", "id=x,env=X", "--no-cache")
        )


def test_cve_2024_23652_in_the_runtime(native: Native, rootfs: Path, tmp_path: Path) -> None:
    """The same where the runtime itself has made the places to mount on, and says so."""
    treasure = write_files(tmp_path / "treasure", {"empty": "", "folder/": ""})
    (rootfs / "d").mkdir()
    mounts = (Mount("tmpfs", "tmpfs", "/d/s/folder"), Mount("bind", "/etc/hostname", "/d/s/empty"))
    replace = f"mv /d/s /d/old && ln -s {treasure} /d/s"
    ended = run(native, rootfs, "sh", "-c", replace, container={"mounts": mounts})
    assert (ended.code, {item.path for item in ended.running.created}) == (
        0,
        {"/d/s", "/d/s/folder", "/d/s/empty"},
    )
    remove_created(str(rootfs), ended.running.created)
    assert sorted(os.listdir(treasure)) == ["empty", "folder"]


def test_cve_2024_23653_more_rights_than_a_build_has(victim: Victim) -> None:
    """BuildKit's API let a frontend, chosen by `# syntax=`, start privileged containers unasked.

    Here no image is ever a frontend, and there is no privileged RUN to be had at all.
    """
    for line in ("RUN --security=insecure true", "RUN --security=sandbox --security=insecure true"):
        result = victim.build(f"FROM base\n{line}\n")
        assert result.code == 1
        assert "security" in result.err
    frontend = "# syntax=127.0.0.1:1/evil/frontend:latest\nFROM base\nRUN grep CapEff /proc/self/status\n"
    result = victim.build(frontend, "--build-arg", "BUILDKIT_SYNTAX=127.0.0.1:1/evil/frontend")
    assert "00000000a80425fb" in steps(result)
    victim.keeps(result)


def test_cve_2019_14271_libraries_of_the_container_are_loaded_into_the_helper(victim: Victim) -> None:
    """docker cp changed its root into the container's and then loaded libnss from there, as the host's root.

    Here: an image with poison in the place of every library and module that a helper could still load.
    """
    poison = "#!/bin/sh\nraise SystemExit('POISON')\n"
    base = Path(os.__file__).parent
    places = {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib", "/lib"}
    names = {"libnss_files.so.2", "libnss_dns.so.2", "libnss_compat.so.2", "libgcc_s.so.1", "libc.so.6"}
    paths = {f"{folder}/{name}" for folder in places for name in names}
    paths |= {f"{base}/{name}.py" for name in ("pwd", "grp", "traceback", "encodings/idna", "ctypes/util")}
    paths |= {f"{base}/{name}/__init__.py" for name in ("encodings", "ctypes", "asyncio")}
    write = "".join(f"COPY poison {path}\n" for path in sorted(paths))
    result = victim.build(
        f"FROM base\n{write}RUN mkfifo /etc/nsswitch.conf /etc/ld.so.cache /etc/ld.so.preload\n"
        "USER web:extra\nWORKDIR /home/web\nCOPY --chown=web:extra poison here\n"
        "RUN id -un && test ! -e nothing\nRUN exit 3\n",
        poison=poison,
    )
    assert "web" in result.err
    assert "exit code: 3" in result.err
    assert "POISON" not in result.err
    victim.keeps(result)


def test_cve_2021_41091_other_users_reach_what_is_in_the_store(victim: Victim) -> None:
    """docker's folders could be entered by all: they had images' set-user-ID programs of root in them.

    Here the store lies in a folder that others may enter, and has every kind of thing in it.
    """
    victim.wherry.root.chmod(0o755)
    for folder in victim.wherry.root.iterdir():
        if folder.is_dir():
            folder.chmod(0o711)  # as earlier versions made them
    set_id = "cp /bin/busybox /su && chmod 4755 /su && cp /su /v/su && chmod 4755 /v/su"
    steps(victim.build(f"FROM base\nVOLUME /v\nRUN mkdir /v\nRUN {set_id}\nRUN test -u /su\n", "-t", "i"))
    victim.wherry.ok("run", "--rm", "-v", "named:/v", "i", "true")
    victim.wherry.ok("run", "-d", "--name", "running", "i", "sleep", "100")
    try:
        root = victim.wherry.root
        programs = [path for path in root.rglob("su") if path.lstat().st_mode & stat.S_ISUID]
        assert len(programs) >= 3
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
        assert subprocess.run([*nobody, "test", "-x", root]).returncode == 0
        for path in programs:
            assert subprocess.run([*nobody, "test", "-e", path]).returncode == 1, path
        for path in (root / "store.db", *(root / name for name in os.listdir(root) if name != "blobs")):
            assert subprocess.run([*nobody, "test", "-r", path]).returncode == 1, path
    finally:
        victim.wherry.ok("rm", "-f", "running")


def test_cve_2024_21626_the_working_directory_is_a_leaked_descriptor(victim: Victim) -> None:
    """runc leaked a descriptor of the host's /sys/fs/cgroup: with WORKDIR /proc/self/fd/7 the process began
    outside of its root."""
    out = "../" * 20 + str(victim.treasure)
    for number in range(3, 9):
        folder = f"/proc/self/fd/{number}"
        result = victim.build(f"FROM base\nWORKDIR {folder}\nRUN cat {out}/secret; touch {out}/planted\n")
        assert result.code == 1, result.err
        run = victim.wherry("run", "--rm", "-w", folder, "base", "cat", f"{out}/secret")
        assert run.code in (125, 126, 127), run.err
        victim.keeps(result, run)
    listed = "for f in /proc/self/fd/*; do readlink $f; done; ls -d /proc/1/cwd/bin"
    printed = steps(victim.build(f"FROM base\nRUN {listed}\n"))
    assert str(victim.home) not in printed.partition("RUN for")[2].partition("\n")[2]
    link = f"ln -s /proc/self/fd/5 /link; cd /link/{out}"
    victim.keeps(victim.build(f"FROM base\nRUN {link} && cat secret; true\nWORKDIR /link/x\nRUN touch y\n"))


FILL = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from wherry.base.errors import WherryError
from wherry.container import volumes
from wherry.container.options.mounting import Volume
root, image, count = sys.argv[2], os.open(sys.argv[3], os.O_RDONLY), 0
end = time.monotonic() + 4
while time.monotonic() < end:
    count += 1
    volume = Volume("volume", f"v{count}", "/data")
    os.makedirs(f"{root}/volumes/v{count}/_data")
    tmp = f"{root}/next"
    os.symlink(f"volumes/v{count}/_data", tmp + ".new")
    os.rename(tmp + ".new", tmp)
    try:
        volumes.fill(root, volume, image)
    except WherryError as error:
        assert "cannot fill" in error.message, error.message
print(count)
"""

SWAP_IN_VOLUME = """
import os, sys
volume, target = sys.argv[1:]
while True:
    try:
        folder = os.open(volume, os.O_RDONLY | os.O_DIRECTORY)
        for _ in range(50):
            try:
                os.rename("a", "kept", src_dir_fd=folder, dst_dir_fd=folder)
                os.symlink(target, "a", dir_fd=folder)
                os.unlink("a", dir_fd=folder)
                os.rename("kept", "a", src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                pass
        os.close(folder)
    except OSError:
        pass
"""


def test_cve_2018_15664_a_link_appears_while_files_are_copied_into_a_container(tmp_path: Path) -> None:
    """docker cp looked a path up in the container's root and used it later, when the container had put a
    link in its place. Here a volume that a container uses is filled with an image's files."""
    treasure = tmp_path / "treasure"
    image = tmp_path / "image"
    write_files(treasure, {"one": "secret"})
    write_files(image, {"a/one": "harmless"})
    for number in range(30):
        (image / f"b/{number}").mkdir(parents=True)  # below it, so that a/one is copied first
        os.link(image / "a/one", image / f"b/{number}/two")
    before = trees.facts(str(treasure))
    source = Path(__file__).parents[2] / "src"
    root = tmp_path / "store"
    root.mkdir()
    swapping = subprocess.Popen([sys.executable, "-c", SWAP_IN_VOLUME, root / "next", treasure])
    try:
        filled = subprocess.run(
            [sys.executable, "-c", FILL, source, root, image], capture_output=True, text=True, check=True
        )
    finally:
        swapping.kill()
        swapping.wait()
    assert int(filled.stdout) > 20
    assert trees.facts(str(treasure)) == before
    assert (treasure / "one").stat().st_nlink == 1
    kept = {path.read_text() for path in root.rglob("two") if path.is_file()}
    assert kept == {"harmless"}


def test_cve_2018_15664_a_link_appears_while_a_volume_is_mounted(tmp_path: Path) -> None:
    """The same of `run -v`: one container swaps the folder in a volume on which another's mount is made."""
    wherry = Wherry(tmp_path / "wherry", tmp_path / "docker")
    busybox.put(wherry.root, "base")
    treasure = write_files(tmp_path / "treasure", {"secret": "x"})
    before = trees.facts(str(treasure))
    script = f"while :; do rm -rf /v/sub; ln -s {treasure} /v/sub; usleep 3000; rm /v/sub; mkdir /v/sub; done"
    wherry.ok("run", "-d", "--name", "swap", "-v", "shared:/v", "base", "sh", "-c", script)
    try:
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            mounts = [f"-vother{number}:/v/sub/planted{number}" for number in range(10)]
            result = wherry("run", "--rm", "-v", "shared:/v", *mounts, "base", "cat", "/v/sub/secret")
            assert "wherry has a bug" not in result.err
            assert result.out == ""
    finally:
        wherry.ok("rm", "-f", "swap")
    assert trees.facts(str(treasure)) == before


@pytest.mark.needs("docker-registry", "skopeo", "mmdebstrap")
def test_cve_2019_5736_the_helper_s_own_program_is_executed_and_overwritten(
    shared: Wherry, tmp_path: Path
) -> None:
    """runc could be executed as /proc/self/exe, with the image's libraries, which then wrote to it: to the
    host's file. The built-in runtime is a Python program."""
    write = "import os; print('running', os.getuid()); os.chmod('/proc/self/exe', 0o755)"
    library = "libpython{}.{}.so.1.0".format(*sys.version_info)
    context = write_files(
        tmp_path / "context",
        {
            "Dockerfile": "FROM python:3.11-slim\nCOPY lib* /usr/lib/\nENV PYTHONHOME=/usr\n"
            f'RUN ["/proc/self/exe", "-c", "{write}"]\n'
        },
    )
    for path in Path(sys.base_prefix, "lib").glob(f"{library}*"):
        shutil.copy(path, context)
    (context / "lib-any").touch()
    result = shared("build", "--progress", "plain", context)
    assert "running 0" in result.err
    assert "Read-only file system: '/proc/self/exe'" in result.err
