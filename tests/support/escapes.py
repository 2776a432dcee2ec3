"""Ways out that a process in a container may try: each is a line of shell that must fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

TRIES = """
cat /proc/1/root{treasure}/secret || cat {treasure}/secret || ls {store}
cat /proc/1/environ | tr '\\0' '\\n' | grep WHERRY_ROOT
kill -0 {outside}
test $(ls /proc | grep -c '^[0-9]') -gt 6
for d in $(cat /sys/block/*/dev); do mknod /b$d b ${{d%:*}} ${{d#*:}}; head -c 1 /b$d; done | grep -q .
mknod /m c 1 1 && dd if=/m bs=1 count=1 | wc -c | grep -q 1
mknod /dev/m c 1 1 && dd if=/dev/m bs=1 count=1 | wc -c | grep -q 1
rm -f /dev/m; mknod /dev/shm/m c 1 1 && dd if=/dev/shm/m bs=1 count=1 | wc -c | grep -q 1
mknod /c/m c 1 1 && dd if=/c/m bs=1 count=1 | wc -c | grep -q 1
mount -t tmpfs none /mnt
mount -t proc none /mnt
mount -t cgroup -o memory none /mnt
mount -o bind /proc/sys /mnt
mount -o remount,rw /proc/sys
mount -o remount,bind,rw /sys
umount /proc/sys
umount /etc/hosts
umount /c
echo '|/tmp/x' > /proc/sys/kernel/core_pattern
echo x > /proc/sys/kernel/modprobe
echo h > /proc/sysrq-trigger
echo 0 > /proc/sys/vm/drop_caches
echo x > /sys/kernel/uevent_helper
echo mem > /sys/power/state
echo 1 > /sys/fs/cgroup/cgroup.procs
find /sys/fs/cgroup -name release_agent | while read f; do echo /x > $f && echo done; done | grep done
find /sys -maxdepth 4 -type f -perm -200 | head -300 | while read f; do : >> $f && echo $f; done | grep .
cat /proc/kcore | head -c 1 | grep -q .
cat /proc/keys | grep .
unshare -r true
unshare -m true
nsenter -t 1 -m -- ls {treasure}
chroot /proc/1/root ls {treasure}
hostname taken
date -s 2001-01-01; test $(date +%Y) = 2001
ip link set lo down
ip link add escape type dummy
dmesg | grep .
reboot -f
swapoff -a
losetup /dev/loop0 /tries
insmod /x.ko
ls /dev | grep -vxE 'console|core|fd|full|mqueue|null|ptmx|pts|random|shm|std(in|out|err)|tty|urandom|zero'
ls /c/.. | grep -E 'cache|lock'
ls -d /c/other
readlink /proc/self/fd/[3-9]* | grep /
""".strip()
"""Of a process with docker's rights or fewer, which has a writable mount on /c."""


def script(tries: str, treasure: Path, store: Path, outside: int) -> str:
    """A shell script that tells of each line of `tries` that succeeds, and how many there were.

    `outside` is the number of a process of the host's.
    """
    lines = tries.format(treasure=treasure, store=store, outside=outside).splitlines()
    attempts = "".join(
        f"( {line} ) > /tmp/out 2> /dev/null < /dev/null && echo 'ESCAPED by' {at}\n"
        for at, line in enumerate(lines)
    )
    return f"#!/bin/sh\nulimit -c 0\n{attempts}echo tried {len(lines)}; exit 0\n"


def successes(tries: str, printed: str) -> Sequence[str]:
    """The lines that have succeeded, of what the script has printed; all must have been tried."""
    lines = tries.splitlines()
    assert f"tried {len(lines)}" in printed, printed
    return [lines[int(line.split()[-1])] for line in printed.splitlines() if "ESCAPED by" in line]
