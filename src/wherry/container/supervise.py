"""How a monitor comes to be: a fresh child leaves its starter, and becomes the monitor of one container.

Little is imported here. What takes longest is started first: the runtime's helper, an interpreter of its own,
which comes up while this process imports what the monitor needs.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from wherry.base.errors import WherryError
from wherry.container import failures
from wherry.container.complaints import complain
from wherry.container.entering import enter
from wherry.container.state import Folder, Spec
from wherry.runtime.helper import Helper
from wherry.runtime.net.ports import Listener
from wherry.runtime.standing import stand_alone


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
        stand_alone(
            folder.file("monitor.log"), {starter.fileno(), *(item.socket.fileno() for item in listeners)}
        )
        entry = enter(root, folder, spec)
        helper = Helper()
        from wherry.container.monitor import Monitor

        Monitor(root, folder, spec, entry).run(starter, attached, listeners, helper)
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


def _print_trace() -> str:
    import traceback

    text = traceback.format_exc()
    complain(text)
    return text
