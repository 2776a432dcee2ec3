"""The image config: what a container runs, its layers' diff IDs, its history (OCI image-spec, config.md).

Fields that wherry does not know are kept (`other`): a config that is read and written again loses nothing.
"""

from __future__ import annotations

import json
from typing import Any

from wherry.base.errors import Corrupt
from wherry.base.text import one_line
from wherry.base.tuples import NamedTuple
from wherry.oci import digest as digests
from wherry.oci import platform as platforms
from wherry.oci.descriptor import decode, encode
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform


class Healthcheck(NamedTuple):
    """Docker's extension of the config. Times are nanoseconds; 0 means the default."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Execution(NamedTuple):
    """The `config` object: the defaults for a container of this image."""

    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] | None = None
    onbuild: tuple[str, ...] = ()
    other: tuple[tuple[str, Any], ...] = ()

    def environment(self) -> dict[str, str]:
        return dict(item.partition("=")[::2] for item in self.env)

    def with_env(self, name: str, value: str) -> Execution:
        """`name` set in place where it exists, at the end where it does not."""
        items = self.environment() | {name: value}
        return self._replace(env=tuple(f"{key}={text}" for key, text in items.items()))


class History(NamedTuple):
    created: str = ""
    created_by: str = ""
    empty_layer: bool = False
    comment: str = ""
    author: str = ""


class ImageConfig(NamedTuple):
    platform: Platform
    execution: Execution = Execution()
    diff_ids: tuple[Digest, ...] = ()
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""
    other: tuple[tuple[str, Any], ...] = ()

    def encode(self) -> bytes:
        """Canonical bytes; their digest is the image ID."""
        document: dict[str, Any] = {}
        if self.created:
            document["created"] = self.created
        if self.author:
            document["author"] = self.author
        document["architecture"] = self.platform.architecture
        document["os"] = self.platform.os
        if self.platform.os_version:
            document["os.version"] = self.platform.os_version
        if self.platform.os_features:
            document["os.features"] = list(self.platform.os_features)
        if self.platform.variant:
            document["variant"] = self.platform.variant
        document["config"] = _execution_json(self.execution)
        document["rootfs"] = {"type": "layers", "diff_ids": list(self.diff_ids)}
        document["history"] = [_history_json(item) for item in self.history]
        document.update(self.other)
        return encode(document)


def parse(raw: bytes) -> ImageConfig:
    """The config in `raw`; Corrupt where a field has the wrong type."""
    document = decode(raw)
    try:
        return _parse(document)
    except AttributeError:
        raise Corrupt("not an image config: a field that has to be an object is none") from None
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise Corrupt(f"not an image config: {one_line(str(error))[:200]}") from None


_KNOWN = {
    "created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs",
    "history",
}  # fmt: skip
_KNOWN_EXECUTION = {
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
    "Healthcheck", "Shell", "OnBuild",
}  # fmt: skip


def _parse(document: dict[str, Any]) -> ImageConfig:
    rootfs = document.get("rootfs") or {}
    diff_ids = tuple(digests.parse(_text(item)) for item in rootfs.get("diff_ids") or ())
    return ImageConfig(
        platform=platforms.from_json(
            document
            | {"os": document.get("os") or "linux", "architecture": document.get("architecture") or "amd64"}
        ),
        execution=_execution(document.get("config") or {}),
        diff_ids=diff_ids,
        history=tuple(_history(item) for item in document.get("history") or ()),
        created=_text(document.get("created") or ""),
        author=_text(document.get("author") or ""),
        other=tuple((key, value) for key, value in document.items() if key not in _KNOWN),
    )


def _execution(value: dict[str, Any]) -> Execution:
    check = value.get("Healthcheck")
    return Execution(
        user=_text(value.get("User") or ""),
        exposed_ports=tuple(map(_text, value.get("ExposedPorts") or ())),
        env=_texts(value.get("Env")) or (),
        entrypoint=_texts(value.get("Entrypoint")),
        cmd=_texts(value.get("Cmd")),
        volumes=tuple(map(_text, value.get("Volumes") or ())),
        working_dir=_text(value.get("WorkingDir") or ""),
        labels=tuple((_text(key), _text(text)) for key, text in (value.get("Labels") or {}).items()),
        stop_signal=_text(value.get("StopSignal") or ""),
        healthcheck=_healthcheck(check) if check else None,
        shell=_texts(value.get("Shell")),
        onbuild=_texts(value.get("OnBuild")) or (),
        other=tuple((key, item) for key, item in value.items() if key not in _KNOWN_EXECUTION),
    )


def _healthcheck(value: dict[str, Any]) -> Healthcheck:
    return Healthcheck(
        test=_texts(value.get("Test")) or (),
        interval=int(value.get("Interval") or 0),
        timeout=int(value.get("Timeout") or 0),
        start_period=int(value.get("StartPeriod") or 0),
        start_interval=int(value.get("StartInterval") or 0),
        retries=int(value.get("Retries") or 0),
    )


def _history(value: dict[str, Any]) -> History:
    return History(
        created=_text(value.get("created") or ""),
        created_by=_text(value.get("created_by") or ""),
        empty_layer=bool(value.get("empty_layer")),
        comment=_text(value.get("comment") or ""),
        author=_text(value.get("author") or ""),
    )


def _execution_json(execution: Execution) -> dict[str, Any]:
    fields: list[tuple[str, Any]] = [
        ("User", execution.user),
        ("ExposedPorts", {port: {} for port in execution.exposed_ports}),
        ("Env", list(execution.env)),
        ("Entrypoint", None if execution.entrypoint is None else list(execution.entrypoint)),
        ("Cmd", None if execution.cmd is None else list(execution.cmd)),
        ("Volumes", {volume: {} for volume in execution.volumes}),
        ("WorkingDir", execution.working_dir),
        ("Labels", dict(execution.labels)),
        ("StopSignal", execution.stop_signal),
        ("Healthcheck", _healthcheck_json(execution.healthcheck)),
        ("Shell", None if execution.shell is None else list(execution.shell)),
        ("OnBuild", list(execution.onbuild)),
    ]
    return {key: value for key, value in fields if value} | dict(execution.other)


def _healthcheck_json(check: Healthcheck | None) -> dict[str, Any] | None:
    if check is None:
        return None
    fields = [
        ("Test", list(check.test)),
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
        ("Retries", check.retries),
    ]
    return {key: value for key, value in fields if value}


def _history_json(item: History) -> dict[str, Any]:
    fields = [
        ("created", item.created),
        ("author", item.author),
        ("created_by", item.created_by),
        ("comment", item.comment),
        ("empty_layer", item.empty_layer),
    ]
    return {key: value for key, value in fields if value}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{json.dumps(value)[:100]} is not a string")
    if "\0" in value:
        raise ValueError(f"{json.dumps(value)[:100]} has a NUL in it")
    return value


def _texts(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise TypeError(f"{json.dumps(value)[:100]} is not a list")
    return tuple(map(_text, value))
