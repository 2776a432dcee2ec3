"""One blob from a registry into the store; what an earlier attempt left there is not fetched again."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from wherry.base.errors import Corrupt, WherryError
from wherry.layer.arriving import Reader
from wherry.oci.descriptor import Descriptor
from wherry.registry.client import Client, Report
from wherry.store.partials import Partial

Read = Callable[[BinaryIO], object]


def fetch(
    client: Client,
    blob: Descriptor,
    partial: Partial,
    report: Report = lambda _: None,
    read: Read = lambda _: None,
) -> None:
    """Complete `partial` to `blob`, checked; `read` gets the same bytes as a file that grows, in a thread.

    Where they are the wrong ones, and some of them were there before or came from a mirror, all of them are
    fetched once more. What `read` raises is raised only where they are the right ones: else that is what is
    wrong.
    """
    there = partial.take_up(blob.size)
    while True:
        place = client.place
        with Reader(partial.path, blob.size, read) as reader:
            try:
                _receive(client, blob, partial, reader, report)
            except Corrupt as error:
                partial.restart()
                if not there and not client.distrust(place, error):
                    raise
                there = 0
                continue
            try:
                reader.finish()
            except WherryError:
                partial.drop()
                raise
            return


def _receive(client: Client, blob: Descriptor, partial: Partial, reader: Reader, report: Report) -> None:
    def write(data: bytes) -> None:
        partial.write(data)
        reader.grown(partial.size)

    reader.grown(partial.size)
    if partial.size < blob.size or not blob.size:
        client.blob(blob, write, report, partial.size)
    partial.check()
