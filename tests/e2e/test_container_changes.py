"""`diff` and `commit`: what a container changed in its image, listed and made an image."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ordinary
from support.cli import RUNTIME, Wherry
from support.containers import MODES, boxed, boxed_in, state
from support.ports import until
from support.trees import contents, tree
from wherry.store.store import Store

pytestmark = pytest.mark.needs("root", "busybox")

CHANGE = (
    "mkdir -p /data/deep && echo new > /data/deep/file && ln /data/deep/file /data/same"
    " && echo app:x:7:7::/:/bin/sh >> /etc/passwd && rm /bin/vi && chmod 711 /root"
    " && rm -rf /home && mkdir /home && echo kept > /volume/file && echo x > /tmp/x && rm /tmp/x"
    " && rm /bin/wc && mkdir /bin/wc && touch /bin/wc/inside"
)
LISTED = """\
C /bin
D /bin/vi
C /bin/wc
A /bin/wc/inside
C /data
A /data/deep
A /data/deep/file
A /data/same
C /etc
C /etc/passwd
C /home
D /home/web
C /root
"""


@pytest.fixture(params=MODES)
def box(request: pytest.FixtureRequest, wherry: Wherry) -> Iterator[Wherry]:
    with boxed_in(request.param, wherry) as box:
        yield box


@pytest.fixture(params=["overlay", "copy"])
def made(request: pytest.FixtureRequest, box: Wherry) -> Wherry:
    """With a container `made` that has changed something and ended."""
    if request.param == "copy" and "single-id" in request.node.name:
        pytest.skip("root filesystems are not copied in it")
    words = ["--snapshotter", request.param, "--network", "none", "-v", "/volume", "--name", "made"]
    box.ok("run", *words, "busybox", "sh", "-ec", CHANGE)
    return box


def test_what_was_changed_is_listed(made: Wherry) -> None:
    assert made.ok("diff", "made") == LISTED
    made.ok("commit", "made", "changed")
    made.ok("run", "--network", "none", "--name", "next", "changed", "sh", "-c", "echo x > /data/deep/file")
    assert made.ok("diff", "next") == "C /data\nC /data/deep\nC /data/deep/file\n"
    made.ok("create", "--name", "fresh", "busybox")
    assert made.ok("diff", "fresh") == ""


def test_a_container_becomes_an_image(made: Wherry) -> None:
    image = made.ok("commit", "-a", "Me <me@home>", "-m", "by hand", "made", "changed:v2").strip()
    assert made.ok("images", "-q", "--no-trunc", "changed:v2").strip() == image
    script = "cat /data/deep/file; stat -c '%h %u:%g' /data/same; ls /home; stat -c %a /root; ls -A /volume"
    ran = made.ok(
        "run", "--rm", "--network", "none", "changed:v2", "sh", "-c", f"{script}; ls /bin/vi || true"
    )
    assert ran == "new\n2 0:0\n711\n"
    row = "{{.CreatedBy}}|{{.Comment}}"
    history = made.ok("history", "--no-trunc", "--format", row, "changed:v2").splitlines()
    assert history[0] == f"sh -ec {CHANGE}|by hand"
    (document,) = json.loads(made.ok("inspect", "changed:v2"))
    (below,) = json.loads(made.ok("inspect", "busybox"))
    assert document["Author"] == "Me <me@home>"
    assert document["RootFS"]["Layers"][:-1] == below["RootFS"]["Layers"]


def test_the_same_changes_are_the_same_image(wherry: Wherry) -> None:
    """Whatever the day, the container's name and the mode."""
    images = set()
    for mode in MODES[:2] if RUNTIME else MODES:  # crun and runc have no place in the single-id mode
        with boxed_in(mode, wherry) as box:
            for name in ("one", "two") if mode == "root" else ("three",):
                words = [*("--network", "none", "-v", "/volume", "--name", name), "busybox", "sh", "-ec"]
                # In the single-id mode no link can say whose it is, and the file says it in its own way.
                more = "chown -h 1000:44 /data/same; chmod u+s /data/same; ln -s a /l; chown -h 5:6 /l"
                box.ok("run", *words, f"{CHANGE}; {more}")
                images.add(box.ok("commit", name))
    assert len(images) == 1


def test_a_running_container(box: Wherry) -> None:
    script = "ln -s a /new; chown -h 5:6 /new; echo up; sleep 300"
    box.ok("run", "-d", "--network", "none", "--name", "web", "busybox", "sh", "-c", script)
    until(lambda: box.ok("logs", "web") == "up\n")
    box.ok("exec", "web", "sh", "-c", "ln -s b /other; chown -h 7:8 /other")
    assert box.ok("diff", "web") == "A /new\nA /other\n"
    box.ok("commit", "web", "snap")
    assert box.ok("run", "--rm", "--network", "none", "snap", "readlink", "/new") == "a\n"
    for name in ("web", "snap"):
        done = subprocess.run(
            [*box.command, "export", name], capture_output=True, env=box.environment, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            owners = {item.name: (item.uid, item.gid) for item in tar if item.issym()}
            assert (owners["new"], owners["other"]) == ((5, 6), (7, 8))
    assert box.ok("exec", "web", "readlink", "/new") == "a\n", "it runs on"


def test_a_container_stands_still_while_it_becomes_an_image(wherry: Wherry) -> None:
    """Two files that are written one after the other say the same in every image."""
    script = "echo up; i=0; while [ $i -lt 99999999 ]; do i=$((i+1)); echo $i > /one; echo $i > /two; done"
    with boxed(wherry) as box:
        box.ok("run", "-d", "--network", "none", "--name", "web", "busybox", "sh", "-c", script)
        until(lambda: box.ok("logs", "web") == "up\n")
        done = box("commit", "-p", "web", "probe")
        if "cannot be paused here" in done.err:
            pytest.skip("no freezer")
        for number in range(4):
            box.ok("commit", "web", f"image{number}")
            found = contents(wherry.root, f"image{number}")
            written = [int(found[name]) for name in ("one", "two") if found[name]]  # or just cut off
            assert written
            assert written[0] - written[-1] in (0, 1)
        assert state(box, "web").startswith("Up")
        assert "Paused" not in state(box, "web")
        box.ok("pause", "web")
        box.ok("commit", "web")
        assert "Paused" in state(box, "web"), "it was before"
        box.ok("unpause", "web")
        box.ok("commit", "--pause=false", "web")
        form = "{{.Action}}"
        past = ("--since", "24h", "--until", "0s", "--filter", "event=pause", "--format", form)
        assert box.ok("events", *past).count("pause") == 6


def test_what_a_container_was_run_with_is_in_the_config(box: Wherry) -> None:
    words = [
        "-e",
        "A=b",
        "-l",
        "who=me",
        "-u",
        "1000:44",
        "-w",
        "/tmp",
        "-p",
        "18081:80",
        "--entrypoint",
        "sh",
    ]
    box.ok("run", "--name", "one", *words, "-v", "/anonymous", "-v", "named:/n", "busybox", "-c", "true")
    changes = ['CMD ["-c", "id"]', "ENV C=$A", "EXPOSE 53/udp", "LABEL x=y", "ONBUILD RUN id", "VOLUME /v"]
    box.ok("commit", *(word for change in changes for word in ("-c", change)), "one", "image")
    (document,) = json.loads(box.ok("inspect", "image"))
    config = document["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["sh"], ["-c", "id"])
    assert {"A=b", "C=b"} <= set(config["Env"])
    assert config["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert config["Labels"] == {"who": "me", "x": "y"}
    assert (config["User"], config["WorkingDir"]) == ("1000:44", "/tmp")
    assert config["Volumes"] == {"/anonymous": {}, "/v": {}}
    assert config["OnBuild"] == ["RUN id"]
    assert "uid=1000(web) gid=44(extra)" in box.ok("run", "--rm", "--network", "none", "image")


def test_the_health_check_of_a_container(wherry: Wherry) -> None:
    with boxed(wherry) as box:
        box.ok("create", "--name", "one", "--health-cmd", "true", "--health-interval", "5s", "busybox")
        box.ok("commit", "one", "checked")
        box.ok("create", "--name", "two", "--no-healthcheck", "checked")
        box.ok("create", "--name", "three", "checked")
        for name, test in (
            ("one", ["CMD-SHELL", "true"]),
            ("two", ["NONE"]),
            ("three", ["CMD-SHELL", "true"]),
        ):
            (document,) = json.loads(box.ok("inspect", box.ok("commit", name).strip()))
            assert document["Config"]["Healthcheck"]["Test"] == test
        (document,) = json.loads(box.ok("inspect", "checked"))
        assert document["Config"]["Healthcheck"]["Interval"] == 5 * 10**9


def test_a_container_that_changed_nothing(box: Wherry) -> None:
    box.ok("create", "--name", "still", "busybox")
    image = box.ok("commit", "still").strip()
    (document,) = json.loads(box.ok("inspect", image))
    (below,) = json.loads(box.ok("inspect", "busybox"))
    assert document["RootFS"] == below["RootFS"]
    assert box.ok("run", "--rm", "--network", "none", image, "cat", "/data/seed") == "from the image\n"


def test_an_entrypoint_that_stays_one(box: Wherry) -> None:
    """The image's ENTRYPOINT and what was said to `run` in place of its CMD are told apart."""
    box.ok("create", "--name", "one", "busybox")
    box.ok("commit", "-c", 'ENTRYPOINT ["echo", "-n"]', "-c", 'CMD ["x"]', "one", "echo")
    assert box.ok("run", "--name", "two", "--network", "none", "echo", "y", "z") == "y z"
    box.ok("commit", "two", "again")
    assert box.ok("run", "--rm", "--network", "none", "again") == "y z"
    assert box.ok("run", "--rm", "--network", "none", "again", "w") == "w"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["commit", "nobody"], "no such container: nobody"),
        (["diff", "nobody"], "no such container: nobody"),
        (["commit", "-c", "RUN id", "one"], "not one of the instructions"),
        (["commit", "one", "Not A Name"], "Not A Name"),
    ],
)
def test_what_cannot_be(wherry: Wherry, words: list[str], message: str) -> None:
    with boxed(wherry) as box:
        box.ok("create", "--name", "one", "busybox")
        done = box(*words)
        assert done.code != 0
        assert message in done.err
        assert box.ok("images", "-q").count("\n") == 1


def test_changes_in_the_form_of_another_mode(wherry: Wherry) -> None:
    """A root's container in the mode `userns` marks its opaque folders as users' mounts do."""
    with boxed(wherry) as box:
        words = ["--isolation", "userns", "--network", "none", "--name", "made"]
        box.ok("run", *words, "busybox", "sh", "-c", "rm -rf /home && mkdir /home && chown 5:6 /home")
        assert box.ok("diff", "made") == "C /home\nD /home/web\n"
        box.ok("commit", "made", "image")
        for name in ("made", "image"):
            box.ok("export", "-o", f"{wherry.root}/{name}.tar", name)
            box.ok("import", f"{wherry.root}/{name}.tar", f"{name}-again")
        found = {}
        with Store.open(str(wherry.root)) as store:
            for name in ("image", "made-again", "image-again"):
                found[name] = tree(store, name)
                assert found[name]["home"][2:4] == (5, 6)
                assert "home/web" not in found[name]
        assert found["image"] == found["made-again"] == found["image-again"]
        assert contents(wherry.root, "image")["etc/notes.txt"] == "not a program\n"


def test_files_that_a_layer_cannot_hold(box: Wherry) -> None:
    box.ok("run", "--network", "none", "--name", "made", "busybox", "touch", "/.wh.bin")
    assert box.ok("diff", "made") == "A /.wh.bin\n"
    done = box("commit", "made")
    assert (done.code, "'.wh.bin'" in done.err) == (1, True), done.err


def test_who_keeps_his_number_is_not_in_the_image(wherry: Wherry) -> None:
    """`--userns keep-id` makes whoever runs a container its user."""
    with boxed_in("userns", wherry) as box:
        words = ["--userns", "keep-id", "--network", "none", "--name", "made", "busybox", "sh", "-c"]
        box.ok("run", *words, "id -u > /tmp/mine")
        assert box.ok("diff", "made") == "C /tmp\nA /tmp/mine\n"
        box.ok("commit", "made", "image")
        shown = box.ok("run", "--rm", "--network", "none", "image", "sh", "-c", "stat -c %u /tmp/mine; id -u")
        assert shown == f"{ordinary.UID}\n0\n"
        own = box.root.parent / "own"
        own.write_text("mine")
        ordinary.hand_over(own)
        box.ok("cp", "-a", own, "made:/tmp")
        box.ok("cp", "-a", "made:/tmp/own", f"{own}-again")
        assert Path(f"{own}-again").stat().st_uid == ordinary.UID
        with_owner = box.ok("cp", "made:/tmp", "-").encode()
        with tarfile.open(fileobj=io.BytesIO(with_owner)) as tar:
            assert {item.uid for item in tar if item.isfile()} == {ordinary.UID}
