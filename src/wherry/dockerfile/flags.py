"""Flags of an instruction: `--name=value`, and `--name` alone for a boolean."""

from __future__ import annotations

from wherry.base.tuples import NamedTuple
from wherry.dockerfile.errors import DockerfileError, did_you_mean


class Flags(NamedTuple):
    """What was given, by name without dashes."""

    given: dict[str, list[str]]

    def text(self, name: str, default: str = "") -> str:
        return self.given[name][0] if name in self.given else default

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self.given.get(name, ()))

    def boolean(self, name: str) -> bool | None:
        """None where the flag is not given."""
        return None if name not in self.given else self.given[name][0] == "true"


def read(
    flags: tuple[str, ...],
    *,
    texts: tuple[str, ...] = (),
    repeated: tuple[str, ...] = (),
    booleans: tuple[str, ...] = (),
) -> Flags:
    """The flags given, each checked against what the instruction takes. Names are case-sensitive."""
    given: dict[str, list[str]] = {}
    known = (*texts, *repeated, *booleans)
    for flag in flags:
        name, equals, value = flag.removeprefix("--").partition("=")
        if name not in known:
            hint = did_you_mean(f"--{name}", [f"--{other}" for other in known]) or _known(known)
            raise DockerfileError(f"unknown flag: --{name}", hint=hint)
        if name in given and name not in repeated:
            raise DockerfileError(f"duplicate flag specified: --{name}")
        if name in booleans:
            value = _boolean(name, value, given=bool(equals))
        elif not equals:
            raise DockerfileError(f"missing a value on flag: --{name}", hint=f"write --{name}=VALUE")
        given.setdefault(name, []).append(value)
    return Flags(given)


def _boolean(name: str, value: str, *, given: bool) -> str:
    if given and not value:
        raise DockerfileError(f"missing a value on flag: --{name}", hint=f"write --{name} or --{name}=false")
    if value.lower() not in ("", "true", "false"):
        raise DockerfileError(f"expecting boolean value for flag --{name}, not: {value}")
    return value.lower() or "true"


def _known(names: tuple[str, ...]) -> str:
    return (
        f"this instruction takes {', '.join(f'--{name}' for name in names)}" if names else "it takes no flags"
    )
