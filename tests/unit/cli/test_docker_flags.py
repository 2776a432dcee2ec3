"""Docker's commands for containers, volumes and networks: each flag is there, or is refused by its name."""

from __future__ import annotations

from importlib import import_module

import pytest

from wherry.cli.commands import find
from wherry.cli.parser import Parser

DOCKER = {
    "attach": "detach-keys no-stdin sig-proxy",
    "commit": "author change message pause",
    "container prune": "filter force",
    "cp": "archive follow-link quiet",
    "diff": "",
    "events": "filter format since until",
    "exec": "detach detach-keys env env-file interactive privileged tty user workdir",
    "export": "output",
    "inspect": "format type",
    "kill": "signal",
    "logs": "details follow since tail timestamps until",
    "network connect": "alias driver-opt gw-priority ip ip6 link link-local-ip",
    "network create": "attachable aux-address config-from config-only driver gateway ingress internal "
    "ip-range ipam-driver ipam-opt ipv4 ipv6 label opt scope subnet",
    "network disconnect": "force",
    "network inspect": "format verbose",
    "network ls": "filter format no-trunc quiet",
    "network prune": "filter force",
    "network rm": "force",
    "pause": "",
    "port": "",
    "ps": "all filter format last latest no-trunc quiet",
    "rename": "",
    "restart": "signal time timeout",
    "rm": "force link volumes",
    "start": "attach checkpoint checkpoint-dir detach-keys interactive",
    "stats": "all format no-stream no-trunc",
    "stop": "signal time timeout",
    "top": "",
    "unpause": "",
    "volume create": "availability driver group label limit-bytes name opt required-bytes scope secret "
    "sharing topology-preferred topology-required type",
    "volume inspect": "format",
    "volume ls": "cluster filter format quiet",
    "volume prune": "all filter force",
    "volume rm": "force",
    "wait": "",
}
"""Docker 28.0's, those that its help hides among them; `run` and `create` are tested elsewhere."""


@pytest.mark.parametrize("name", DOCKER)
def test_every_flag_is_known(name: str) -> None:
    found = find(name.split())
    assert found is not None
    parser = Parser(name.split(), "")
    import_module(f"wherry.cli.{found[0].module}").register(parser)
    has = {option for action in parser._actions for option in action.option_strings}
    assert not has & set(parser.refused), "what is there is not refused"
    docker = {f"--{flag}" for flag in DOCKER[name].split()}
    assert docker - has - set(parser.refused) == set()
