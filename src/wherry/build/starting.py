"""What executes the steps of a build, made when the first of them has to be executed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from wherry.base.events import Emit
from wherry.build import execute, watch
from wherry.build.operations.run import Surroundings
from wherry.build.options import Options
from wherry.build.plan import Plan
from wherry.build.records import Recorder
from wherry.build.sources import Sources
from wherry.build.step import Run
from wherry.store.store import Store

if TYPE_CHECKING:
    from wherry.build.verify import Variation


def executor(
    store: Store,
    plan: Plan,
    recorder: Recorder,
    sources: Sources,
    options: Options,
    proxies: tuple[tuple[str, str], ...],
    emit: Emit,
    variation: Variation | None = None,
) -> execute.Executor:
    """What executes steps. Of a second execution nothing is observed, and `variation` says what is other."""
    observes = not (options.exact_cache or variation)
    settings = execute.Settings(
        build=time.strftime("%Y%m%d-%H%M%S-") + os.urandom(3).hex(),
        has_processes=any(isinstance(step.operation, Run) for step in plan.steps),
        isolation=options.isolation,
        snapshotter=options.snapshotter,
        exact_cache=options.exact_cache,
        watched=watch.worth_watching(plan.steps, options.observes_all) if observes else frozenset(),
        surroundings=Surroundings(options.host_ca, proxies, options.network, options.conditions),
        secrets=options.secrets,
        agents=options.agents,
    )
    if variation:
        settings = settings._replace(**variation._asdict())
    return execute.Executor(store, recorder, sources, settings, emit)
