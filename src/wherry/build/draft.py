"""An image's config while the instructions of a stage change it: each change takes constant time."""

from __future__ import annotations

from wherry.oci.config import Execution, Healthcheck


class Draft:
    """What an instruction changes is changed in place; `finished` is the config that came of it."""

    def __init__(self, base: Execution) -> None:
        self._base = base
        self.user = base.user
        self.ports = dict.fromkeys(base.exposed_ports)
        self.environment = base.environment()
        self.entrypoint = base.entrypoint
        self.cmd = base.cmd
        self.volumes = dict.fromkeys(base.volumes)
        self.working_dir = base.working_dir
        self.labels = dict(base.labels)
        self.stop_signal = base.stop_signal
        self.healthcheck: Healthcheck | None = base.healthcheck
        self.shell = base.shell
        self.onbuild = list(base.onbuild)

    def finished(self) -> Execution:
        return self._base._replace(
            user=self.user,
            exposed_ports=tuple(sorted(self.ports)),
            env=self._env(),
            entrypoint=self.entrypoint,
            cmd=self.cmd,
            volumes=tuple(self.volumes),
            working_dir=self.working_dir,
            labels=tuple(self.labels.items()),
            stop_signal=self.stop_signal,
            healthcheck=self.healthcheck,
            shell=self.shell,
            onbuild=tuple(self.onbuild),
        )

    def _env(self) -> tuple[str, ...]:
        """An image may have a name twice, or without a value: that stays where no ENV says anything new."""
        if self.environment == self._base.environment():
            return self._base.env
        return tuple(f"{name}={value}" for name, value in self.environment.items())
