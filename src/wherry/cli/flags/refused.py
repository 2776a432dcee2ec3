"""docker's flags of `run` and `create` that wherry has not, and why: each is refused by its name."""

from __future__ import annotations

_DEVICES = "cgroups alone can limit devices; a container has no device but those that it is given"
_DISKS = "cgroups alone can limit what is read and written, and an ordinary user has no right to theirs"
_REALTIME = "processors are shared out by --cpus, --cpu-shares and --cpu-quota"
_WINDOWS = "it is for containers of Windows"
_LINKS = "containers find each other by name on networks: wherry network create"

REFUSED = {
    "--blkio-weight": _DISKS,
    "--blkio-weight-device": _DISKS,
    "--cpu-count": _WINDOWS,
    "--cpu-percent": _WINDOWS,
    "--cpu-rt-period": _REALTIME,
    "--cpu-rt-runtime": _REALTIME,
    "--device-cgroup-rule": _DEVICES,
    "--device-read-bps": _DISKS,
    "--device-read-iops": _DISKS,
    "--device-write-bps": _DISKS,
    "--device-write-iops": _DISKS,
    "--disable-content-trust": "images are verified by their digests, never by docker's notary",
    "--domainname": "NIS is not used in containers; --hostname takes a name with its domain",
    "--gpus": "it needs the maker's own hooks; --device gives a container what needs no hook",
    "--io-maxbandwidth": _WINDOWS,
    "--io-maxiops": _WINDOWS,
    "--kernel-memory": "Linux has given that limit up; --memory counts the kernel's part too",
    "--link": _LINKS,
    "--link-local-ip": "addresses of the link are the kernel's own choice",
    "--memory-swappiness": "only cgroups of version 1 know it",
    "--oom-kill-disable": "only cgroups of version 1 know it, and a container that waits for memory hangs",
    "--storage-opt": "what a container writes has no limit of its own; a volume on a disk of its own has",
    "--use-api-socket": "there is no daemon, and so no socket of one",
    "--volume-driver": "the only driver of volumes is local",
}
