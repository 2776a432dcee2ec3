"""Planned mounts: targets, defaults, refusals; every option is in the recipe."""

from __future__ import annotations

import pytest

from wherry.base.errors import WherryError
from wherry.build import mounts
from wherry.build.copying import Tree
from wherry.build.step import Copy, Mount, Run, recipe
from wherry.dockerfile import mounts as written

MOUNT = Mount("cache", "/c", id="c", sharing="shared", read_only=False, mode=0o755, uid=0, gid=0)
RUN = Run(("make",), (), "", "/", mounts=(MOUNT,))


def planned(*texts: str, folder: str = "/w") -> tuple[mounts.Planned, list[Copy]]:
    copies: list[Copy] = []

    def copied(operation: Copy, what: str) -> int:
        copies.append(operation)
        return 100 + len(copies)

    def find(origin: str) -> Tree:
        return Tree(f"stage {origin!r}", 7) if origin else Tree("the build context")

    return mounts.plan([written.mount(text) for text in texts], folder, find, copied), copies


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "bind"),
        ("target", "/d"),
        ("input", 0),
        ("source", "/x"),
        ("read_only", True),
        ("id", "d"),
        ("sharing", "locked"),
        ("required", True),
        ("mode", 0o700),
        ("uid", 1),
        ("gid", 1),
        ("size", 1),
        ("env", "E"),
    ],
)
def test_every_field_of_a_mount_counts(field: str, value: object) -> None:
    changed = RUN._replace(mounts=(MOUNT._replace(**{field: value}),))  # type: ignore[arg-type]
    assert recipe(changed, "p", 0) != recipe(RUN, "p", 0)


def test_the_label_does_not_count() -> None:
    changed = RUN._replace(mounts=(MOUNT._replace(label="stage 'a'"),))
    assert recipe(changed, "p", 0) == recipe(RUN, "p", 0)


def test_targets_are_absolute_clean_and_sorted() -> None:
    plan, _ = planned("type=tmpfs,target=/a/b/../c", "type=tmpfs,target=x", "type=tmpfs,target=//a")
    assert [mount.target for mount in plan.mounts] == ["/a", "/a/c", "/w/x"]


def test_the_context_is_copied_onto_nothing_and_a_stage_is_not() -> None:
    plan, copies = planned("source=/a*,target=/x", "from=tools,source=t,target=/y")
    assert copies == [Copy((r"/a\*",), mounts.CONTENT, source_label="the build context")]
    assert plan.inputs == (101, 7)
    assert [(mount.input, mount.source) for mount in plan.mounts] == [(0, mounts.CONTENT), (1, "/t")]


def test_defaults_of_secrets_and_agents() -> None:
    plan, _ = planned("type=secret,id=a/key", "type=secret,id=b,env=B", "type=ssh", "type=ssh,id=two")
    assert [(mount.kind, mount.id, mount.target, mount.mode, mount.env) for mount in plan.mounts] == [
        ("secret", "b", "", 0o400, "B"),
        ("ssh", "default", "/run/buildkit/ssh_agent.0", 0o600, "SSH_AUTH_SOCK"),
        ("ssh", "two", "/run/buildkit/ssh_agent.1", 0o600, ""),
        ("secret", "a/key", "/run/secrets/key", 0o400, ""),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=tmpfs,target=/", "cover the whole file system"),
        ("type=cache,target=/proc/x", "would cover what every container has"),
        ("type=cache,target=/c,source=/x", "'from', which is missing"),
        ("type=tmpfs,target=/c,from=a", "no option 'from'"),
        ("type=bind,target=/c,id=a", "no option 'id'"),
        ("type=secret,id=a,rw", "cannot be written to"),
    ],
)
def test_what_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(WherryError, match=message):
        planned(text)
