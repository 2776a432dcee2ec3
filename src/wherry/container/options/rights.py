"""What a container's processes may do that others may not, and docker's words for it."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.base.errors import Unsupported, UsageError, WherryError
from wherry.base.tuples import NamedTuple
from wherry.container.options import devices, sysctls
from wherry.runtime.spec import DEFAULT_CAPABILITIES, MASKED_PATHS, READ_ONLY_PATHS, Device

KEEP_ID = "keep-id"
"""The word of `--userns`: see identity.py."""

_UNCONFINED = "unconfined"
_NAMESPACES = {
    "ipc": ("private",),
    "pid": ("private",),
    "uts": ("private",),
    "cgroupns": ("private",),
    "userns": ("host", KEEP_ID),
}
"""What a container has of its own, by the flag, and the words that ask for just that. docker's
`--userns=host` asks for no user namespace beside the one that the mode has."""


class Rights(NamedTuple):
    """`seccomp` is docker's default profile, on or off, or what the text `profile` says (profiles.py).

    `add` and `drop` are capabilities, or ALL, beside docker's; `masked` hides and protects parts of /proc and
    /sys. `privileged` is all capabilities, every device, nothing masked and no profile but one of the user's.
    `groups` are supplementary ones, by name or number; with `init` the command's parent is a small init.
    """

    no_new_privileges: bool = False
    seccomp: bool = True
    profile: str = ""
    masked: bool = True
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    privileged: bool = False
    devices: tuple[Device, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    groups: tuple[str, ...] = ()
    init: bool = False
    oom_score_adj: int | None = None

    def capabilities(self) -> tuple[str, ...]:
        """What the first process gets, of what this process has. Denied for one that was named and is not."""
        from wherry.runtime import capabilities

        if self.privileged:
            return capabilities.available()
        wanted = capabilities.tweaked(DEFAULT_CAPABILITIES, self.add, self.drop)
        return capabilities.granted(wanted, self.add)

    def is_filtered(self) -> bool:
        """A profile of the user's is in force also for a privileged container, as in docker."""
        return bool(self.profile) or (self.seccomp and not self.privileged)

    def masked_paths(self) -> tuple[str, ...]:
        return MASKED_PATHS if self.masked and not self.privileged else ()

    def read_only_paths(self) -> tuple[str, ...]:
        return READ_ONLY_PATHS if self.masked and not self.privileged else ()

    def device_nodes(self) -> tuple[Device, ...]:
        return devices.given(self.devices, every=self.privileged)


def secured(rights: Rights, words: Iterable[str]) -> Rights:
    """With what the words of `--security-opt` say. Unsupported for what else docker knows of."""
    for word in words:
        name, _, value = word.replace(":", "=", 1).partition("=") if "=" not in word else word.partition("=")
        if name == "no-new-privileges" and value in ("", "true", "false"):
            rights = rights._replace(no_new_privileges=value != "false")
        elif name == "seccomp" and value:
            rights = _filtered(rights, value)
        elif (name, value) == ("systempaths", _UNCONFINED):
            rights = rights._replace(masked=False)
        elif (name, value) not in (("apparmor", _UNCONFINED), ("label", "disable")):
            raise _refused(word, name)
    return rights


def _filtered(rights: Rights, value: str) -> Rights:
    """docker's profile (`builtin`), none, or that of a file."""
    if value in (_UNCONFINED, "builtin"):
        return rights._replace(seccomp=value != _UNCONFINED, profile="")
    from wherry.runtime import profiles

    try:
        with open(value, encoding="utf-8") as file:
            text = file.read(profiles.LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise WherryError(f"cannot read the seccomp profile {value}: {reason}") from None
    if len(text) > profiles.LARGEST:
        raise UsageError(f"the seccomp profile {value} is longer than {profiles.LARGEST >> 20} MB")
    profiles.parse(text, DEFAULT_CAPABILITIES)
    return rights._replace(seccomp=True, profile=text)


def _refused(word: str, name: str) -> WherryError:
    why = {
        "apparmor": "wherry gives a container no AppArmor profile; apparmor=unconfined says so",
        "label": "wherry gives a container no SELinux label; label=disable says so",
        "writable-cgroups": "a container sees no cgroups that it could write to",
        "credentialspec": "this is for Windows",
    }
    return Unsupported(
        f"--security-opt {word} is not supported",
        hint=why.get(name, "no-new-privileges, seccomp=FILE|unconfined and systempaths=unconfined are"),
    )


def check_namespace(flag: str, word: str) -> None:
    """Unsupported for a namespace that a container would share, with the host or with another container."""
    if word and word not in _NAMESPACES[flag]:
        raise Unsupported(
            f"--{flag} {word} is not supported: each container has namespaces of its own",
            hint=f"--{flag} {_NAMESPACES[flag][0]} is what every container gets",
        )


def check(rights: Rights, network: str) -> None:
    """UsageError, NotFound or Denied for what cannot be."""
    for name, _ in rights.sysctls:
        sysctls.check(name, network)
    devices.check(rights.devices)
    if rights.oom_score_adj is not None and not -1000 <= rights.oom_score_adj <= 1000:
        raise UsageError(f"--oom-score-adj {rights.oom_score_adj}: from -1000 to 1000")
