"""What `make demo` and `make sizes` do once everything is installed, on bases that are there already."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from support.cli import Wherry, behind_proxy
from support.web import ask, free_port

ROOT = Path(__file__).parents[2]
HELLO = "Hello from my custom Docker image!"


def run(wherry: Wherry, *words: str) -> subprocess.CompletedProcess[str]:
    here = os.path.dirname(sys.executable)
    environment = wherry.environment | {"PATH": f"{here}:{wherry.environment['PATH']}"}
    return subprocess.run(
        words,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )


def test_the_demo_says_hello_and_leaves_no_container(shared: Wherry) -> None:
    for attempt in ("first", "again"):
        done = run(shared, "tools/demo.sh", str(free_port()))
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        assert HELLO in lines
        assert any(line.startswith("my-flask-app ") for line in lines)
        assert any("pip install --no-cache-dir" in line for line in lines)
        if attempt == "again":
            assert "Collecting flask" not in done.stderr
        assert "wherry-demo" not in shared.ok("ps", "-a")


def test_a_taken_port_is_one_line(shared: Wherry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run(shared, "tools/demo.sh", str(port))
    assert done.returncode == 1
    assert done.stderr == f"wherry: port {port} is in use: make demo PORT=5001\n"


def test_sizes_stand_side_by_side(shared: Wherry) -> None:
    done = run(shared, "tools/sizes.sh")
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["EXAMPLE", "SINGLE", "STAGE", "MULTI-STAGE"]
    assert [row.split()[0] for row in rows] == ["flask", "c-multistage", "c-multistage"]


def test_an_ordinary_user_builds_and_runs_the_same_image(
    shared: Wherry, ordinary_wherry: Wherry, registry: str
) -> None:
    ordinary_wherry.environment |= behind_proxy()
    ordinary_wherry.ok("pull", "-q", f"{registry}/nginx")
    ordinary_wherry.ok("tag", f"{registry}/nginx", "nginx")
    site = ROOT / "examples" / "static-nginx"
    assert ordinary_wherry.ok("build", "-q", "-t", "site", site) == shared.ok("build", "-q", site)
    port = free_port()
    ordinary_wherry.ok("run", "-d", "--name", "site", "-p", f"127.0.0.1:{port}:80", "site")
    try:
        assert "Hello from a static site!" in ask(port)
    finally:
        ordinary_wherry.ok("rm", "-f", "site")
