"""How a monitor comes to be: a fresh child leaves its starter, and becomes the monitor of one container.

Little is imported here. What takes longest is started first: the runtime's helper, an interpreter of its own,
which comes up while this process imports what the monitor needs.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from wherry.base.errors import Unsupported, WherryError
from wherry.container import failures
from wherry.container.complaints import complain
from wherry.container.state import Folder, Spec
from wherry.runtime import modes
from wherry.runtime.helper import Helper
from wherry.runtime.net import namespace
from wherry.runtime.net.ports import Listener


def supervise(
    root: str,
    folder: Folder,
    spec: Spec,
    starter: socket.socket,
    attached: bool,
    listeners: Sequence[Listener],
) -> NoReturn:
    """Be the monitor of `spec`; to be called in a fresh child with one thread and no open store.

    `starter` is told `s` or `f`; with `attached` it also gets all output. `listeners` hold the ports.
    """
    code = 1
    try:
        _stand_alone(folder, {starter.fileno(), *(item.socket.fileno() for item in listeners)})
        _enter_mode(spec)
        helper = Helper()
        from wherry.container.monitor import Monitor

        Monitor(root, folder, spec).run(starter, attached, listeners, helper)
        code = 0
    except WherryError as error:
        failures.tell(starter, error)
    except OSError as error:
        failures.tell(starter, failures.told(error))
        _print_trace()
    except BaseException as error:
        what = WherryError(f"the container's monitor failed: {error!r}", excerpt=_print_trace())
        failures.tell(starter, what)
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def _enter_mode(spec: Spec) -> None:
    if not modes.enter(spec.isolation).may_mount:
        raise Unsupported(
            "containers cannot be run in the mode chroot: they need namespaces of their own",
            hint="`wherry build` works there; run the image where `wherry info` names another mode",
        )


def _stand_alone(folder: Folder, keep: set[int]) -> None:
    """Away from the starter: its session, its folder, its descriptors and the locks that they hold."""
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open(folder.file("monitor.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    namespace.close_all_but({0, 1, 2, *keep})
    sys.stdout = sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _print_trace() -> str:
    import traceback

    text = traceback.format_exc()
    complain(text)
    return text
