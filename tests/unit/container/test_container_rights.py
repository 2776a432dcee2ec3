"""docker's words for what a container's processes may do."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.base.errors import NotFound, Unsupported, UsageError, WherryError
from wherry.container.options import devices, rights, sysctls
from wherry.container.options.rights import Rights
from wherry.runtime.capabilities import ALL, named, tweaked
from wherry.runtime.init.process import CAPABILITIES
from wherry.runtime.spec import DEFAULT_CAPABILITIES, Device


def secured(*words: str) -> Rights:
    return rights.secured(Rights(), words)


def test_security_options() -> None:
    assert secured() == Rights(no_new_privileges=False, seccomp=True)
    assert secured("no-new-privileges:true", "seccomp=unconfined") == Rights(True, False)
    assert secured("no-new-privileges=false") == Rights()
    assert secured("no-new-privileges", "no-new-privileges:false") == Rights()
    assert secured("seccomp=unconfined", "seccomp=builtin") == Rights()
    assert secured("systempaths=unconfined").masked_paths() == ()
    assert secured("apparmor=unconfined", "label:disable") == Rights()
    for word in ("label=type:x", "apparmor=docker-default", "no-new-privileges=x", "", "seccomp", "seccomp="):
        with pytest.raises(Unsupported):
            secured(word)


def test_a_profile_of_a_file(tmp_path: Path) -> None:
    profile = tmp_path / "a:profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    assert secured(f"seccomp={profile}").profile == profile.read_text()
    assert secured(f"seccomp={profile}", "seccomp=unconfined") == Rights(seccomp=False)
    profile.write_text('{"defaultAction": "SCMP_ACT_PANIC"}')
    with pytest.raises(UsageError, match="SCMP_ACT_PANIC"):
        secured(f"seccomp={profile}")
    profile.write_text(" " * (1 << 20) + "{}")
    with pytest.raises(UsageError, match="longer than 1 MB"):
        secured(f"seccomp={profile}")
    profile.write_bytes(b"\xff")
    for path in (profile, tmp_path, tmp_path / "missing"):
        with pytest.raises(WherryError, match="cannot read the seccomp profile"):
            secured(f"seccomp={path}")


def test_a_profile_of_its_own_also_confines_a_privileged_container() -> None:
    assert not Rights(privileged=True).is_filtered()
    assert Rights(privileged=True, profile="{}").is_filtered()
    assert not Rights(seccomp=False).is_filtered()


def test_names_of_capabilities() -> None:
    assert named("chown", "") == named("CAP_CHOWN", "") == named("Cap_Chown", "") == "CAP_CHOWN"
    assert named("all", "") == ALL
    for word in ("", "CAP_", "CHOWNS", "CAP_ALL"):
        with pytest.raises(UsageError):
            named(word, "--cap-add")


EVERY = {f"CAP_{name}" for name in CAPABILITIES}


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), set(DEFAULT_CAPABILITIES)),
        (("CAP_SYS_TIME",), (), {*DEFAULT_CAPABILITIES, "CAP_SYS_TIME"}),
        (("CAP_CHOWN",), ("CAP_CHOWN",), set(DEFAULT_CAPABILITIES)),
        ((), ("CAP_CHOWN", "CAP_SYS_TIME"), set(DEFAULT_CAPABILITIES) - {"CAP_CHOWN"}),
        ((), (ALL,), set()),
        (("CAP_CHOWN", "CAP_SYS_TIME"), (ALL,), {"CAP_CHOWN", "CAP_SYS_TIME"}),
        ((ALL,), (), EVERY),
        ((ALL,), ("CAP_CHOWN",), EVERY - {"CAP_CHOWN"}),
        ((ALL,), (ALL,), EVERY),
    ],
)
def test_docker_s_sums(add: tuple[str, ...], drop: tuple[str, ...], expected: set[str]) -> None:
    assert set(tweaked(DEFAULT_CAPABILITIES, add, drop)) == expected


def test_namespaces_of_others_are_refused() -> None:
    for flag in ("ipc", "pid", "uts", "cgroupns"):
        rights.check_namespace(flag, "")
        rights.check_namespace(flag, "private")
        for word in ("host", "container:web", "shareable", "none"):
            with pytest.raises(Unsupported, match=f"--{flag} {word}"):
                rights.check_namespace(flag, word)


def test_settings_of_the_kernel() -> None:
    assert sysctls.parse("net.core.somaxconn=1024") == ("net.core.somaxconn", "1024")
    assert sysctls.parse(" kernel.sem = 1 2 3 4 ") == ("kernel.sem", "1 2 3 4")
    for word in ("net.core", "=1", "net..x=1", "net/../kernel=1", "net.a/../../x=1", "net.x=1\n2", ".=1"):
        with pytest.raises(UsageError):
            sysctls.parse(word)
    for word in ("kernel.core_pattern=|/x", "kernel.hostname=x", "vm.swappiness=1", "fs.file-max=1"):
        with pytest.raises(Unsupported):
            sysctls.parse(word)
    with pytest.raises(UsageError, match="the host's own"):
        rights.check(Rights(sysctls=(("net.core.somaxconn", "1"),)), "host")


def test_devices() -> None:
    assert devices.parse("/dev/fuse") == Device("/dev/fuse", "/dev/fuse")
    assert devices.parse("/dev/fuse:rwm") == Device("/dev/fuse", "/dev/fuse")
    assert devices.parse("/dev/fuse:/dev/x") == Device("/dev/fuse", "/dev/x")
    assert devices.parse("/dev/fuse://dev/./x/:wr") == Device("/dev/fuse", "/dev/x")
    for word in ("fuse", "/dev/fuse:x", "/dev/fuse:/x:y", "/dev/fuse:/x:rwm:", "", "/a:/dev/null"):
        with pytest.raises(UsageError):
            devices.parse(word)
    for word in ("/dev/fuse:r", "/dev/fuse:/dev/x:m", "vendor.com/gpu=all"):
        with pytest.raises(Unsupported):
            devices.parse(word)


def test_what_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match="device node"):
            rights.check(Rights(devices=(Device(str(path), "/x"),)), "none")
    with pytest.raises(NotFound, match="No such file"):
        rights.check(Rights(devices=(Device(f"{tmp_path}/missing", "/x"),)), "none")


def test_scores() -> None:
    rights.check(Rights(oom_score_adj=-1000), "none")
    with pytest.raises(UsageError, match="1001"):
        rights.check(Rights(oom_score_adj=1001), "none")
