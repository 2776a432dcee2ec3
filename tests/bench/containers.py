"""What containers cost: `make bench ARGS="--only containers"`, or `python -m bench.containers` alone.

As root, and for an ordinary user in a user namespace. wherry runs them by its built-in runtime, by crun and
by runc; podman, and crun and runc alone, stand beside it (engines.py). All see a /sys/fs/cgroup with version
2 alone, because crun takes no other here, and a /dev/net/tun that anybody may use; both are mounted for the
measurement and gone with it.

    start      `run --rm` of `true`, from the first instruction of the command to its end
    exec       `exec` of `true`
    many       50 containers started at once, and removed by one command
    memory     what holds a container, in proportional set size: what is shared counts once
    ps         a list of 500 containers that do not run
    output     lines of 80 bytes: 1 GiB through `run`, which also writes the log; 20 MiB out of the log
    port       256 MiB from a published port, by one connection
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.engines import IMAGE, Alone, Engine, Wherry, engines
from bench.measure import Failure, Sample
from bench.table import Case, print_head, print_row
from support import busybox, folders, ordinary, ports

_SURROUNDINGS = """
set -e
mount -t tmpfs none /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=755 none /dev/net
mknod -m 666 /dev/net/tun c 10 200
exec "$@"
"""
_MANY = 50
_LISTED = 500
_OUTPUT = 1 << 30
_KEPT = 20 << 20
_SERVED = 256
"""MiB."""
_OUTPUT = 1 << 30


def main(arguments: Sequence[str]) -> int:
    if os.geteuid() != 0:
        sys.exit("bench: containers are measured as root and for a user whom root makes")
    print_tables("--quick" in arguments)
    return 0


def print_tables(quick: bool) -> None:
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="wherry-containers-", dir=folders.fast()))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        archive = scratch / "busybox.tar"
        busybox.put(scratch / "store", IMAGE)
        wherry = Wherry(scratch)
        subprocess.run(
            [*wherry.command, "save", "-o", archive, IMAGE],
            env=os.environ | {"WHERRY_ROOT": str(scratch / "store")},
            check=True,
        )
        places: list[tuple[str, list[str], Path]] = [("AS ROOT", [], scratch)]
        if shutil.which("newuidmap"):
            user = stack.enter_context(ordinary.user())
            shutil.copy(archive, user.home)
            places.append(("AS AN ORDINARY USER", user.prefix, user.home))
        for title, prefix, folder in places:
            print(title, flush=True)
            _measured(prefix, folder, quick)


def _measured(prefix: list[str], home: Path, quick: bool) -> None:
    """By a process of the user's own, so that becoming him is not measured."""
    surroundings = ["unshare", "--mount", "sh", "-c", _SURROUNDINGS, "surroundings"]
    words = [
        *surroundings,
        *prefix,
        sys.executable,
        "-m",
        "bench.containers",
        "inside",
        str(home),
        *(["--quick"] if quick else []),
    ]
    subprocess.run(words, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, check=False)


def _measure(home: Path, quick: bool) -> None:
    """In a process of the user's own."""
    present = list(engines(home, home / "busybox.tar"))
    try:
        print_head("", present)
        _print_starts(present, 3 if quick else 30)
        _print_execs(present, 3 if quick else 30)
        _print_many(present, _MANY // 5 if quick else _MANY)
        whole = [engine for engine in present if not isinstance(engine, Alone)]
        _print_memory(whole)
        _print_output(whole, _OUTPUT >> 4 if quick else _OUTPUT, 1 if quick else 3)
        _print_port(whole, 1 if quick else 5)
        _print_list(whole, _LISTED // 10 if quick else _LISTED, 3 if quick else 10)
    finally:
        for engine in present:
            engine.close()
    print()


def _print_starts(present: Sequence[Engine], times: int) -> None:
    for network in ("none", "host", "default"):

        def samples(engine: Engine, network: str = network) -> Iterator[Sample]:
            if network in engine.networks:
                yield from (engine.call(engine.once(network)) for _ in range(times))

        print_row(Case(f"run --rm, network {network}", samples), present)


def _print_execs(present: Sequence[Engine], times: int) -> None:
    def samples(engine: Engine) -> Iterator[Sample]:
        engine.call(engine.detached("bench"))
        yield from (engine.call(engine.execute("bench")) for _ in range(times))
        engine.call(engine.remove(["bench"]))

    print_row(Case("exec", samples), present)


def _print_many(present: Sequence[Engine], count: int) -> None:
    names = [f"many{number}" for number in range(count)]

    def started(engine: Engine) -> Iterator[Sample]:
        for _ in range(3):
            yield _at_once(engine, [engine.detached(name) for name in names])
            engine.call(engine.remove(names))

    def removed(engine: Engine) -> Iterator[Sample]:
        for _ in range(3):
            _at_once(engine, [engine.detached(name) for name in names])
            yield engine.call(engine.remove(names))

    print_row(Case(f"run -d of {count} at once", started), present)
    print_row(Case(f"rm -f of {count}", removed), present)


def _at_once(engine: Engine, commands: Sequence[list[str]]) -> Sample:
    begun = time.perf_counter()
    going = [
        subprocess.Popen(
            words,
            env=os.environ | engine.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for words in commands
    ]
    codes = [process.wait() for process in going]
    if any(codes):
        raise Failure(f"{sum(map(bool, codes))} of {len(codes)} did not start")
    return Sample(time.perf_counter() - begun, 0)


def _print_memory(present: Sequence[Engine]) -> None:
    for network in ("none", "default"):
        cells = []
        for engine in present:
            engine.call(engine.detached("bench", network))
            held = [_proportional(pid) for pid in engine.keepers("bench")]
            cells.append(f"{f'{sum(held) / 1e6:.1f} MB in {len(held)}':>30}")
            engine.call(engine.remove(["bench"]))
        print(f"{f'held by processes, network {network}':<48}{''.join(cells)}", flush=True)


def _print_output(present: Sequence[Engine], size: int, times: int) -> None:
    def lines(count: int) -> tuple[str, ...]:
        return "sh", "-c", f"yes {'0123456789' * 7}012345678 | head -c {count}"

    def passed(engine: Engine) -> Iterator[Sample]:
        yield from (engine.call(engine.once("none", *lines(size))) for _ in range(times))

    def logged(engine: Engine) -> Iterator[Sample]:
        engine.call(engine.detached("bench", args=lines(_KEPT)))
        engine.call([*engine.command, "wait", "bench"])
        yield from (engine.call([*engine.command, "logs", "bench"]) for _ in range(times))
        engine.call(engine.remove(["bench"]))

    print_row(Case(f"run: {size >> 20} MiB of output", passed), present)
    print_row(Case(f"logs: {_KEPT >> 20} MiB", logged), present)


def _print_port(present: Sequence[Engine], times: int) -> None:
    serve = f"dd if=/dev/zero of=/tmp/file bs=1M count={_SERVED}; exec httpd -f -p 8080 -h /tmp"

    def samples(engine: Engine) -> Iterator[Sample]:
        port = ports.free()
        options = ["-p", f"127.0.0.1:{port}:8080"]
        engine.call(engine.detached("bench", "default", *options, args=("sh", "-c", serve)))
        ports.until(lambda: _fetched(port) == _SERVED << 20)
        for _ in range(times):
            begun = time.perf_counter()
            _fetched(port)
            yield Sample(time.perf_counter() - begun, 0)
        engine.call(engine.remove(["bench"]))

    print_row(Case(f"{_SERVED} MiB from a published port", samples), present)


def _fetched(port: int) -> int:
    """Bytes of the file that the container serves; 0 where it does not yet."""
    size = 0
    try:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /file HTTP/1.0\r\n\r\n")
            reader = connection.makefile("rb", buffering=1 << 20)
            if b" 200 " not in reader.readline():
                return 0
            while reader.readline().strip():
                pass
            while data := reader.read(1 << 20):
                size += len(data)
    except OSError:
        return 0
    return size


def _proportional(pid: int) -> int:
    """Bytes of a process's own, and its part of what it shares; 0 where it is another user's."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def _print_list(present: Sequence[Engine], count: int, times: int) -> None:
    """One that has run is copied: making so many is not what is measured."""

    def samples(engine: Engine) -> Iterator[Sample]:
        engine.fill(count)
        yield from (engine.call([*engine.command, "ps", "-a"]) for _ in range(times))

    print_row(
        Case(f"ps -a of {count}", samples),
        [engine for engine in present if engine.name in ("wherry", "podman")],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        _measure(Path(sys.argv[2]), "--quick" in sys.argv)
    else:
        sys.exit(main(sys.argv[1:]))
