"""The table of `wherry top`: a container's processes in the columns that `ps` gives for its own options."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from wherry.base.errors import Unsupported, UsageError
from wherry.base.tuples import NamedTuple
from wherry.container.processes.processes import Process


class Now(NamedTuple):
    """What columns are relative to: unix seconds, bytes of this machine's memory."""

    time: float
    memory: int


class Column(NamedTuple):
    header: str
    value: Callable[[Process, Now], str]


def parse(words: Sequence[str]) -> list[Column]:
    """The columns of `-ef`, which is the default, of `aux`, or of `-o pid,user,args`."""
    chosen: list[str] = []
    style: Sequence[str] = _FULL
    rest = list(words)
    while rest:
        word = rest.pop(0)
        flags = word.removeprefix("-")
        if flags in ("ef", "e", "f", "A", "Af", "eF", "ax", "x", "ww", "w"):
            continue
        if flags in ("aux", "auxw", "auxww", "u"):
            style = _USERS
        elif flags.startswith(("o", "eo", "axo")):
            names = flags.partition("o")[2] or (rest.pop(0) if rest else "")
            chosen += filter(None, names.replace(" ", ",").split(","))
            if not names:
                raise UsageError("top -o needs columns", hint="write wherry top CONTAINER -o pid,user,args")
        else:
            raise Unsupported(
                f"top: the option {word!r} of ps is not supported", hint="-ef, aux and -o pid,user,args are"
            )
    return [_column(name) for name in chosen] or [_COLUMNS[name] for name in style]


def rows(processes: Iterable[Process], columns: Sequence[Column], now: Now) -> list[list[str]]:
    return [[column.value(process, now) for column in columns] for process in processes]


def _column(name: str) -> Column:
    try:
        return _COLUMNS[name.lower()]
    except KeyError:
        raise Unsupported(
            f"top: there is no column {name!r}",
            hint=f"the columns are {', '.join(filter(str.islower, _COLUMNS))}",
        ) from None


def _user(process: Process, _now: Now) -> str:
    """The host's name for the number, as docker shows it; it may be another one in the container."""
    import pwd

    try:
        return pwd.getpwuid(process.uid).pw_name
    except KeyError:
        return str(process.uid)


def _command(process: Process, _now: Now) -> str:
    return " ".join(process.words) or f"[{process.name}]"


def _share(process: Process, now: Now) -> float:
    """Percent of one processor since its start."""
    lived = now.time - process.started
    return 100 * process.cpu / lived if lived > 0 else 0.0


def _cpu_time(process: Process, _now: Now) -> str:
    seconds = int(process.cpu)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _short_cpu_time(process: Process, _now: Now) -> str:
    seconds = int(process.cpu)
    return f"{seconds // 60}:{seconds % 60:02}"


def _start(process: Process, now: Now) -> str:
    """The time of day, where it was in the last 24 hours."""
    form = "%H:%M" if now.time - process.started < 24 * 3600 else "%b%d"
    return time.strftime(form, time.localtime(process.started))


def _elapsed(process: Process, now: Now) -> str:
    seconds = max(0, int(now.time - process.started))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    head = f"{days}-" if days else ""
    head += f"{hours:02}:" if days or hours else ""
    return f"{head}{minutes:02}:{seconds % 60:02}"


def _state(process: Process, _now: Now) -> str:
    """ps(1), PROCESS STATE CODES."""
    text = process.state
    text += "<" if process.nice < 0 else "N" if process.nice > 0 else ""
    text += "s" if process.session == process.pid else ""
    text += "l" if process.threads > 1 else ""
    return text + ("+" if process.foreground == process.group else "")


_FULL = ("UID", "pid", "ppid", "c", "stime", "tty", "time", "cmd")
_USERS = ("user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "bsdtime", "command")

_COLUMNS: dict[str, Column] = {
    "pid": Column("PID", lambda process, _: str(process.pid)),
    "ppid": Column("PPID", lambda process, _: str(process.parent)),
    "user": Column("USER", _user),
    "UID": Column("UID", _user),
    "uid": Column("UID", lambda process, _: str(process.uid)),
    "gid": Column("GID", lambda process, _: str(process.gid)),
    "c": Column("C", lambda process, now: str(int(_share(process, now)))),
    "%cpu": Column("%CPU", lambda process, now: f"{_share(process, now):.1f}"),
    "pcpu": Column("%CPU", lambda process, now: f"{_share(process, now):.1f}"),
    "%mem": Column("%MEM", lambda process, now: f"{100 * process.resident / now.memory:.1f}"),
    "pmem": Column("%MEM", lambda process, now: f"{100 * process.resident / now.memory:.1f}"),
    "vsz": Column("VSZ", lambda process, _: str(process.size >> 10)),
    "rss": Column("RSS", lambda process, _: str(process.resident >> 10)),
    "tty": Column("TTY", lambda process, _: process.terminal or "?"),
    "tt": Column("TT", lambda process, _: process.terminal or "?"),
    "stat": Column("STAT", _state),
    "s": Column("S", lambda process, _: process.state),
    "state": Column("S", lambda process, _: process.state),
    "stime": Column("STIME", _start),
    "start": Column("START", _start),
    "time": Column("TIME", _cpu_time),
    "bsdtime": Column("TIME", _short_cpu_time),
    "etime": Column("ELAPSED", _elapsed),
    "nlwp": Column("NLWP", lambda process, _: str(process.threads)),
    "ni": Column("NI", lambda process, _: str(process.nice)),
    "pri": Column("PRI", lambda process, _: str(39 - process.priority)),
    "comm": Column("COMMAND", lambda process, _: process.name),
    "cmd": Column("CMD", _command),
    "args": Column("COMMAND", _command),
    "command": Column("COMMAND", _command),
}
