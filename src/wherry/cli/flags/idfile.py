"""`--cidfile`: the ID of a new container in a file, for scripts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wherry.base.errors import UsageError


@contextmanager
def id_file(path: str | None) -> Iterator[Callable[[str], object]]:
    """Writes the ID into a file that must not be there yet; without an ID no file stays, as docker has it."""
    if path is None:
        yield lambda _text: None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise UsageError(
            f"--cidfile {path}: the file exists",
            hint="see that the container in it does not run any more, and delete the file",
        ) from None
    except OSError as error:
        raise UsageError(f"cannot write --cidfile {path}: {error.strerror}") from None
    try:
        yield lambda text: os.write(descriptor, text.encode())
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)
