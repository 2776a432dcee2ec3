"""What went wrong in a monitor, in the words that are sent to whoever waits for it (`control.FAILED`)."""

from __future__ import annotations

import json
import socket

from wherry.base.errors import WherryError
from wherry.container.monitor import control


def told(error: WherryError | OSError, what: str = "cannot run the container") -> WherryError:
    """As the user is to read it."""
    if isinstance(error, WherryError):
        return error
    place = f"{error.filename}: " if error.filename else ""
    return WherryError(f"{what}: {place}{error.strerror}")


def paused(name: str) -> WherryError:
    return WherryError(f"container {name} is paused", hint=f"`wherry unpause {name}` lets it go on")


def restarting(name: str) -> WherryError:
    return WherryError(f"container {name} is restarting: wait until it runs")


def words(error: WherryError) -> bytes:
    return json.dumps(
        {
            "message": error.message,
            "hint": error.hint,
            "excerpt": error.excerpt,
            "exit_code": error.exit_code,
        }
    ).encode()


def tell(starter: socket.socket, error: WherryError) -> None:
    """Nothing where the starter is gone."""
    try:
        starter.setblocking(True)
        control.send(starter, control.FAILED, words(error))
    except OSError:
        pass
