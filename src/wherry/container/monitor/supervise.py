"""How a monitor comes to be: a fresh child leaves its starter, and becomes the monitor of one container.

Little is imported here. What takes longest is started first: the runtime's helper, an interpreter of its own,
which comes up while this process imports what the monitor needs, and its starter creates the container.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from wherry.base.errors import WherryError
from wherry.container.containers import Containers
from wherry.container.monitor import control, failures
from wherry.container.monitor.complaints import complain
from wherry.container.monitor.entering import enter
from wherry.container.state import Folder
from wherry.runtime import modes
from wherry.runtime.helper import Helper
from wherry.runtime.net.ports import Listener
from wherry.runtime.standing import entitle, stand_alone


def supervise(isolation: str | None, starter: socket.socket, listeners: Sequence[Listener]) -> NoReturn:
    """Be the monitor of the container that `starter` names, if it names one; see `standby.Standby`."""
    code = 1
    try:
        keep = {starter.fileno(), *(item.socket.fileno() for item in listeners)}
        stand_alone(os.devnull, keep, "wherry: monitor")
        helper = _come_up(isolation) if isolation is not None else None
        packet = control.receive(starter)
        if packet:
            _run(json.loads(packet.data), starter, listeners, helper)
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


def _come_up(isolation: str) -> Helper | Exception | None:
    """Do what needs no container. What went wrong is told when there is one."""
    gc.disable()
    try:
        helper = Helper() if modes.enter(isolation).may_mount else None
        from wherry.container.monitor import monitor

        del monitor  # it is imported now
        return helper
    except Exception as error:
        return error
    finally:
        gc.freeze()  # of modules all is kept, and what is not looked through stays shared with the starter
        gc.enable()


def _run(
    order: dict[str, Any],
    starter: socket.socket,
    listeners: Sequence[Listener],
    helper: Helper | Exception | None,
) -> None:
    root, folder = order["root"], Containers(order["root"]).folder(order["id"])
    entitle(f"wherry: monitor of {order['id'][:12]}")
    _complain_to(folder)
    if isinstance(helper, Exception):
        raise helper
    spec = folder.spec()
    entry = enter(root, folder, spec)
    helper = helper or Helper()
    from wherry.container.monitor.monitor import Monitor

    Monitor(root, folder, spec, entry).run(starter, order["attached"], listeners, helper)


def _complain_to(folder: Folder) -> None:
    log = os.open(folder.file("monitor.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _print_trace() -> str:
    import traceback

    text = traceback.format_exc()
    complain(text)
    return text
