"""What a container tries against the host, in each mode and through each runtime: with docker's rights, and
with all that an ordinary user can give it."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.calls import Call, program
from support.cli import write_files
from support.escapes import TRIES, script, successes
from support.places import Place
from support.running import processes, unique
from wherry.base.errors import Unsupported
from wherry.runtime import reaper
from wherry.testing import trees

pytestmark = pytest.mark.needs("root", "busybox")


class Treasure:
    """A folder of the host's with a secret in it, which no container is given."""

    def __init__(self, place: Place) -> None:
        self.secret = secrets.token_hex(16)
        self.folder = place.home / "treasure"
        write_files(self.folder, {"secret": self.secret, "empty": "", "folder/": ""})
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, place.owner, place.owner)
        self._before = trees.facts(str(self.folder))

    def is_safe_from(self, printed: str) -> bool:
        return trees.facts(str(self.folder)) == self._before and self.secret not in printed


@pytest.fixture
def treasure(place: Place) -> Treasure:
    return Treasure(place)


@pytest.fixture
def outside() -> Iterator[int]:
    """A process of the host's that is there before and after."""
    mark = unique()
    process = subprocess.Popen(["sleep", mark])
    yield process.pid
    assert processes(mark) == [process.pid]
    process.kill()
    process.wait()


def shared(place: Place, name: str) -> Path:
    """A folder of the host's that any user may write to, to be mounted."""
    folder = place.home / f"{name}-{secrets.token_hex(4)}"
    folder.mkdir()
    os.chown(folder, place.owner, place.owner)
    folder.chmod(0o1777)
    return folder


@pytest.mark.parametrize("how", ["run", "exec"])
@pytest.mark.parametrize("user", ["root", "web"])
def test_the_host_is_out_of_reach(
    place: Place, treasure: Treasure, outside: int, user: str, how: str
) -> None:
    """As the container's root with docker's capabilities, and as a user of the image."""
    inner = shared(place, "given")
    write_files(place.home, {"tries": script(TRIES, treasure.folder, place.wherry.root, outside)})
    words = ("-v", f"{inner}:/c", "-v", f"{place.home}/tries:/tries:ro", "-v", "data:/mnt", "-u", user)
    if how == "run":
        printed = place.sh("sh /tries", *words)
    else:
        place.wherry.ok("run", "-d", "--name", "box", *words, "busybox", "sleep", "1000")
        try:
            printed = place.wherry.ok("exec", "box", "sh", "/tries")
        finally:
            place.wherry("rm", "-f", "-v", "box")
    assert successes(TRIES, printed) == []
    assert treasure.is_safe_from(printed)


GREEDY = """
cat {treasure}/secret || ls {store}
kill -0 {outside}
nsenter -t {outside} -m -- ls {treasure}
cat /host/etc/shadow
touch /host/etc/escaped
echo x >> /host/etc/passwd
chmod 4755 /host/bin/busybox
chown 0:0 /c/roots && chmod 666 /c/roots
chmod 666 /c/roots
rm -f /c/roots-folder/file
cat /c/roots
cp /bin/busybox /c/mine && chown 1:1 /c/mine && chmod 4755 /c/mine && /c/mine id | grep euid
/c/setuid-root cat /c/roots
mknod /m c 1 1 && head -c 1 /m | grep -q .
mknod /dev/b b 7 0 && head -c 1 /dev/b | grep -q .
cat /c/device | head -c 1 | wc -c | grep 1
for d in $(cat /sys/block/*/dev); do mknod /b$d b ${{d%:*}} ${{d#*:}}; head -c 1 /b$d; done | grep -q .
for d in /dev/vd? /dev/sd? /dev/nvme* /dev/loop?; do head -c 1 $d; done | grep -q .
mkdir -p /m1 && for d in /dev/vda /dev/sda /dev/loop0; do mount -t ext4 $d /m1 && echo done; done | grep done
losetup -f /bin/busybox
echo '|/tmp/x' > /proc/sys/kernel/core_pattern
echo x > /proc/sys/kernel/modprobe
echo 1 > /proc/sys/kernel/sysrq
echo h > /proc/sysrq-trigger
echo 1 > /proc/sys/vm/drop_caches
echo 0 > /proc/sys/kernel/randomize_va_space
echo x > /sys/kernel/uevent_helper
echo mem > /sys/power/state
echo 1 > /sys/module/printk/parameters/time
find /sys -maxdepth 4 -type f -perm -200 | head -300 | while read f; do : >> $f && echo $f; done | grep .
mkdir -p /cg && mount -t cgroup -o memory none /cg && echo /x > /cg/release_agent
mkdir -p /cg2 && mount -t cgroup -o devices none /cg2 && mkdir /cg2/escaped
mkdir -p /sec && mount -t securityfs none /sec
mkdir -p /dbg && mount -t debugfs none /dbg
mkdir -p /trc && mount -t tracefs none /trc
mkdir -p /dt && mount -t devtmpfs none /dt
mkdir -p /ef && mount -t efivarfs none /ef
insmod /x.ko; insmod /bin/busybox && echo loaded | grep loaded
date -s 2001-01-01; test $(date +%Y) = 2001
swapoff -a
hwclock -w
dmesg -n 1
chroot /proc/1/root/.. cat {treasure}/secret
mkdir -p /p && mount -t proc none /p && kill -0 {outside} && ls /p/{outside}
""".strip()
"""For root of a container that has been given everything by an ordinary user: all of the host on /host, and a
folder on /c with files of the host's root."""


def test_all_rights_of_an_ordinary_user_are_his_own_on_the_host(
    place: Place, treasure: Treasure, outside: int
) -> None:
    if place.is_root:
        pytest.skip("this is not about root")
    given = shared(place, "given")
    given.chmod(0o755)
    (given / "roots").write_text("of the host's root")
    (given / "roots").chmod(0o600)
    (given / "roots-folder").mkdir(mode=0o755)
    (given / "roots-folder/file").touch()
    (given / "setuid-root").write_bytes(Path("/bin/busybox").read_bytes())
    (given / "setuid-root").chmod(0o4755)
    os.mknod(given / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    before = trees.facts(str(given))
    tries = write_files(place.home, {"tries": script(GREEDY, treasure.folder, place.wherry.root, outside)})
    words = ("--privileged", "-v", f"{given}:/c", "-v", f"{tries}/tries:/tries:ro", "-v", "/:/host")
    printed = place.sh("sh /tries", *words)
    theirs = {line for line in GREEDY.splitlines() if "{treasure}" in line and not line.startswith("nsenter")}
    assert set(successes(GREEDY, printed)) <= theirs, printed
    (given / "mine").unlink(missing_ok=True)
    assert trees.facts(str(given)) == before
    assert not os.path.exists("/etc/escaped")


NESTED = """
umount /proc/kcore
umount /proc/sys
umount /proc/keys
umount -l /sys/firmware
mount -o remount,bind,rw /proc/sys
mount -o remount,bind,rw /sys
mount -o remount,bind,rw /c
mount -o remount,bind,dev /c && head -c 1 /c/device
mount -o bind,dev /c /tmp && head -c 1 /tmp/device
mount -t proc none /tmp && head -c 1 /tmp/kcore
mount -t proc none /tmp && echo x > /tmp/sys/kernel/modprobe
mount -t sysfs none /tmp && echo x > /tmp/kernel/uevent_helper
mount -t cgroup -o memory none /tmp
mount -t cgroup2 none /tmp && mkdir /tmp/escaped
mknod /tmp/d c 1 5 && head -c 1 /tmp/d | grep -q .
mount -t tmpfs none /tmp && mknod /tmp/d c 1 5 && head -c 1 /tmp/d | grep -q .
cat {treasure}/secret || ls {store}
kill -0 {outside}
chroot /proc/1/root/.. cat {treasure}/secret
echo x > /proc/sys/kernel/core_pattern
cat /proc/kcore | head -c 1 | grep -q .
""".strip()
"""For root of a user namespace that a container has made, where no profile keeps it from that: on /c is a
read-only mount with a device node."""


def test_a_user_namespace_inside_uncovers_nothing(place: Place, treasure: Treasure, outside: int) -> None:
    given = shared(place, "given")
    os.mknod(given / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    os.chmod(given / "device", 0o666)
    tries = write_files(place.home, {"tries": script(NESTED, treasure.folder, place.wherry.root, outside)})
    words = ("--security-opt", "seccomp=unconfined", "-v", f"{given}:/c:ro", "-v", f"{tries}/tries:/tries:ro")
    inner = "unshare -Ur id -u && unshare -Urm sh /tries; unshare -Urmpf sh /tries"
    printed = place.sh(inner, *words, "-u", "web" if place.is_root else "root")
    assert printed.startswith("0\n")
    assert printed.count("tried") == 2
    assert successes(NESTED, printed) == []
    assert treasure.is_safe_from(printed)


def test_device_nodes_of_others_stay_closed(place: Place) -> None:
    """Those that lie in the image, a folder or a volume are no devices in the container."""
    if place.is_root:
        make = "FROM busybox\nRUN mknod /device c 1 5 && chmod 666 /device\n"
        context = write_files(place.home / "context", {"Dockerfile": make})
        place.wherry.ok("build", "--runtime", "native", "-t", "nodes", context)
        image = place.wherry("run", "--rm", "nodes", "head", "-c", "1", "/device")
        assert (image.code, image.out, "Permission denied" in image.err) == (1, "", True)
    given = shared(place, "given")
    os.mknod(given / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    os.chmod(given / "device", 0o666)
    place.sh("true", "-v", "nodes:/c")
    os.mknod(place.wherry.root / "volumes/nodes/_data/device", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    words = ("-v", f"{given}:/c", "-v", "nodes:/v", "-v", f"{given}:/ro:ro")
    script = "for f in /c /v /ro; do head -c 1 $f/device > /dev/null 2>&1 && echo $f is open; done; echo done"
    assert place.sh(script, *words) == "done\n"


def test_every_mount_keeps_devices_closed(place: Place) -> None:
    """But for the standard nodes, terminals, and where another runtime makes its nodes."""
    if not place.is_root:
        pytest.skip("a user namespace opens no device that it has made")
    given = shared(place, "given")
    shown = place.sh("cat /proc/self/mountinfo", "-v", f"{given}:/c", "-v", "data:/v", "--init")
    for line in shown.splitlines():
        root, target, options = line.split()[3:6]
        if target.startswith("/dev/") and ("nodev" not in options):
            assert target == "/dev/pts" or root in ("/null", "/zero", "/full", "/random", "/urandom", "/tty")
        elif root == "/null":
            assert "ro" in options.split(",") or not place.is_native
        elif target != "/dev" or place.is_native:
            assert "nodev" in options or target.startswith(("/proc/", "/sys/")), line


def test_namespaces_are_its_own(place: Place) -> None:
    kinds = ("pid", "mnt", "ipc", "uts", "net", "cgroup") + (("user",) if not place.is_root else ())
    inside = place.sh("; ".join(f"readlink /proc/self/ns/{kind}" for kind in kinds)).split()
    assert len(inside) == len(kinds)
    assert not set(inside) & {os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}


def test_descriptors_of_the_caller_stay_outside(place: Place, treasure: Treasure) -> None:
    """And of the monitor, of the command's first process and of one that joins it."""
    folder = os.open(treasure.folder, os.O_RDONLY | os.O_DIRECTORY)
    held = [os.dup(folder) for _ in range(20)]
    look = "for n in $(seq 3 30); do cat /proc/self/fd/$n/secret; done"
    script = f"({look}) 2>/dev/null; readlink /proc/1/fd/* /proc/self/fd/*; ls -d /proc/self/cwd/*; true"
    try:
        command = [*place.wherry.command, "run", "--rm", "--name", "box", "busybox", "sh", "-c", script]
        done = subprocess.run(
            command, env=place.wherry.environment, pass_fds=held, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        printed = done.stdout
        place.wherry.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
        command = [*place.wherry.command, "exec", "box", "sh", "-c", script]
        done = subprocess.run(
            command, env=place.wherry.environment, pass_fds=held, capture_output=True, text=True, timeout=60
        )
        printed += done.stdout
    finally:
        for descriptor in (folder, *held):
            os.close(descriptor)
        place.wherry("rm", "-f", "box")
    assert "/bin" in printed
    assert str(place.home) not in printed
    assert treasure.is_safe_from(printed)


def test_a_descriptor_as_the_working_folder(place: Place, treasure: Treasure) -> None:
    """CVE-2024-21626; test_runtime_join.py tries more of them."""
    out = "../" * 20 + str(treasure.folder)
    place.wherry.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    printed = ""
    try:
        for number in range(3, 6):
            for words in (("run", "--rm", "-w", f"/proc/self/fd/{number}", "busybox"),
                          ("exec", "-w", f"/proc/self/fd/{number}", "box")):  # fmt: skip
                done = place.wherry(*words, "cat", f"{out}/secret")
                assert done.code in (1, 125, 126, 127), done.err
                printed += done.out + done.err
    finally:
        place.wherry("rm", "-f", "box")
    assert treasure.is_safe_from(printed)


LOOKING = """
while :; do
  for p in /proc/[0-9]*; do
    case $p in /proc/1|/proc/$$) continue;; esac
    ls -d $p/root/{treasure} $p/cwd/{treasure} $p/root/{store}
    readlink $p/cwd $p/exe $p/fd/*
    cat $p/environ $p/maps
    cat $p/fd/*/secret
  done 2>/dev/null >> /tmp/seen
done
"""


def test_a_newcomer_shows_nothing_of_the_host(place: Place, treasure: Treasure) -> None:
    """Processes that join a container are looked at from within, all the time, while they do."""
    looking = LOOKING.format(treasure=treasure.folder, store=place.wherry.root)
    place.wherry.ok("run", "-d", "--name", "box", "-v", "seen:/tmp", "busybox", "sh", "-c", looking)
    try:
        for _ in range(3):
            place.wherry.ok("exec", "box", "sh", "-c", "until grep -q /bin/busybox /tmp/seen; do :; done")
        seen = place.wherry.ok("exec", "box", "cat", "/tmp/seen")
    finally:
        place.wherry("rm", "-f", "-v", "box")
        place.wherry("volume", "rm", "seen")
    assert "/bin/busybox" in seen
    assert str(place.home) not in seen
    assert "wherry" not in seen
    assert treasure.is_safe_from(seen)


def test_the_init_s_program_is_the_host_s_to_change(place: Place) -> None:
    try:
        program = Path(reaper.mount().source)
    except Unsupported:
        pytest.skip("there is no init here")
    before = trees.facts(str(program.parent))
    tries = (
        "cp /bin/busybox /dev/wherry-init",
        "(: > /proc/1/exe)",
        "chmod 777 /proc/1/exe",
        "chown 1 /proc/1/exe",
    )
    place.sh("; ".join((*tries, "true")), "--init", *(() if place.is_root else ("--privileged",)))
    assert trees.facts(str(program.parent)) == before


def test_set_user_id_programs_of_the_host(place: Place) -> None:
    """A program of the host's root on a mount gives nobody in an ordinary user's container its rights.

    As root it is as with docker: the rights of the container's root, unless no-new-privileges forbids it.
    """
    given = shared(place, "given")
    (given / "roots").write_text("of the host's root")
    (given / "roots").chmod(0o600)
    os.chown(given / "roots", 0, 0)
    (given / "open").write_bytes(program([Call(2, (b"/c/roots", 0))]))
    os.chown(given / "open", 0, 0)
    (given / "open").chmod(0o4755)
    for user in ("root", "web"):
        words = ("-v", f"{given}:/c", "-u", user)
        script = "/c/open | od -An -tu1"
        result = int(place.sh(script, *words))
        assert result == (0 if place.is_root else errno.EACCES)
        result = int(place.sh(script, *words, "--security-opt", "no-new-privileges"))
        assert result == (0 if place.is_root and user == "root" else errno.EACCES)


def test_links_of_an_image_lead_nowhere_outside(place: Place, treasure: Treasure) -> None:
    """In the places of what every container is given, and on the way to what its user asks for."""
    out = treasure.folder
    lines = [
        "FROM busybox",
        f"RUN for f in hosts hostname resolv.conf passwd.d; do ln -sf {out}/secret /etc/$f; done",
        f"RUN ln -s {out} /away && ln -s /proc/1/root{out} /proc-away && ln -s ../../../../../.. /up",
        f"VOLUME {out}/volume",
    ]
    context = write_files(place.home / "links", {"Dockerfile": "\n".join(lines) + "\n"})
    place.wherry.ok("build", "-t", "links", context)
    words = ["run", "--rm", "--network", "none", "-v", "data:/away/volume", "-v", f"/up{out}/anonymous"]
    words += ["--tmpfs", f"/up{out}/tmpfs", "--device", "/dev/urandom:/away/device", "-w", "/proc-away/made"]
    script = "cat /etc/hosts /etc/hostname /etc/resolv.conf; ls -d /away/volume /away/device; true"
    printed = ""
    for some in (words, words[:-2], [*words[:4], "-w", "/away/made"]):
        done = place.wherry(*some, "links", "sh", "-c", script)
        assert done.code in (0, 125, 126, 127), done.err
        printed += done.out + done.err
    assert "/away/device" in printed
    assert treasure.is_safe_from(printed)


NUMBERS = """
max:x:4294967295:4294967295::/:/bin/sh
wrapped:x:4294967296:4294967296::/:/bin/sh
negative:x:-1:-1::/:/bin/sh
long:x:99999999999999999999999999:0::/:/bin/sh
digits:x:１:1::/:/bin/sh
good:x:1001:1001::/tmp:/bin/sh
""".lstrip()


def test_numbers_of_users_that_mean_others(place: Place) -> None:
    """No name and no number becomes root by being too large, negative or written in other digits."""
    lines = "FROM busybox\nCOPY passwd /etc/passwd\n"
    context = write_files(place.home / "numbers", {"Dockerfile": lines, "passwd": NUMBERS})
    place.wherry.ok("build", "-t", "numbers", context)
    run = ("run", "--rm", "--network", "none")
    assert place.wherry.ok(*run, "-u", "good", "numbers", "id", "-u") == "1001\n"
    for user in ("max", "wrapped", "negative", "long", "digits", "4294967295", "4294967296", "-1", "１"):
        done = place.wherry(*run, f"--user={user}", "numbers", "id", "-u")
        assert (done.code, done.out) == (125, ""), user


RECIPE = """\
FROM busybox
RUN echo appgroup:x:1001: >> /etc/group && echo logs:x:44:appuser >> /etc/group && \\
    echo appuser:x:1001:1001::/home/appuser:/bin/sh >> /etc/passwd && \\
    mkdir /home/appuser && chown appuser:appgroup /home/appuser
WORKDIR /app
COPY --chown=appuser:appgroup app.sh ./
RUN mkdir data && chown -R appuser:appgroup data && chmod 700 data
USER appuser
CMD ["sh", "./app.sh"]
"""


def test_the_guides_non_root_recipe(place: Place) -> None:
    """A user with a home and groups of the image's, who writes to what is his and to nothing else."""
    script = (
        "id -u; id -G; echo $HOME; touch data/x ~/x && echo written; (echo x > /etc/passwd) 2>&1 | tail -c 18"
    )
    context = write_files(place.home / "recipe", {"Dockerfile": RECIPE, "app.sh": script})
    place.wherry.ok("build", "-t", "recipe", context)
    shown = place.wherry.ok("run", "--rm", "--network", "none", "recipe").splitlines()
    assert (shown[0], shown[2], shown[3]) == ("1001", "/home/appuser", "written")
    if place.mode != "single-id":
        assert (set(shown[1].split()), shown[4]) == ({"1001", "44"}, "Permission denied")
