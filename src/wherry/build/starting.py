"""What executes the steps of a build, made when the first of them has to be executed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from wherry.base.events import Emit
from wherry.build import execute, watch
from wherry.build.operations.run import Surroundings
from wherry.build.step import Run

if TYPE_CHECKING:
    from wherry.build.build import Planned
    from wherry.build.verify import Variation


def executor(
    planned: Planned,
    proxies: tuple[tuple[str, str], ...],
    emit: Emit,
    variation: Variation | None = None,
) -> execute.Executor:
    """What executes steps. Of a second execution nothing is observed, and `variation` says what is other."""
    options, steps = planned.options, planned.plan.steps
    observes = not (options.exact_cache or variation)
    settings = execute.Settings(
        build=time.strftime("%Y%m%d-%H%M%S-") + os.urandom(3).hex(),
        has_processes=any(isinstance(step.operation, Run) for step in steps),
        isolation=options.isolation,
        snapshotter=options.snapshotter,
        exact_cache=options.exact_cache,
        watched=watch.worth_watching(steps, options.observes_all) if observes else frozenset(),
        surroundings=Surroundings(options.host_ca, proxies, options.network, options.conditions),
        secrets=options.secrets,
        agents=options.agents,
    )
    if variation:
        settings = settings._replace(**variation._asdict())
    return execute.Executor(planned.store, planned.recorder, planned.sources, settings, emit)
