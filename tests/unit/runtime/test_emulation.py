from __future__ import annotations

from pathlib import Path

import pytest

from wherry.base.errors import Unsupported
from wherry.oci.platform import Platform, host
from wherry.runtime.emulation import check

FOREIGN = Platform("linux", "s390x")


def test_the_machines_own_programs() -> None:
    check(host())


@pytest.mark.parametrize(
    ("text", "works"),
    [
        ("enabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: OCF\n", True),
        ("enabled\ninterpreter /usr/bin/qemu-s390x\nflags: \n", False),
        ("disabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: F\n", False),
        ("", False),
        (None, False),
    ],
)
def test_foreign_programs_need_a_registration_that_works_in_containers(
    tmp_path: Path, text: str | None, works: bool
) -> None:
    if text is not None:
        (tmp_path / "qemu-s390x").write_text(text)
    if works:
        check(FOREIGN, str(tmp_path))
    else:
        with pytest.raises(Unsupported, match="cannot execute programs for linux/s390x"):
            check(FOREIGN, str(tmp_path))
