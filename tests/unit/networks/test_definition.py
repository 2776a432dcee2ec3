"""Networks on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.base.errors import Corrupt, NotFound, UsageError, WherryError
from wherry.networks.definition import Network, Networks, Subnet, check_name


def network(name: str, first: str = "a") -> Network:
    subnets = (Subnet("10.0.0.0/24", "10.0.0.1", "10.0.0.128/25"), Subnet("fd00::/64", "fd00::1"))
    labels = (("a", "b"), ("c", ""))
    return Network(first + os.urandom(31).hex() + "0", name, 12.5, subnets, True, labels, 1400)


@pytest.fixture
def networks(tmp_path: Path) -> Networks:
    networks = Networks(str(tmp_path))
    assert networks.all() == []
    with networks.locked():
        pass
    return networks


def test_kept_as_it_was(networks: Networks) -> None:
    for name in ("b", "a.b_c-d"):
        networks.create(network(name))
    assert [one.name for one in networks.all()] == ["a.b_c-d", "b"]
    one = networks.all()[0]
    assert networks.get(one.name) == networks.find(one.id) == networks.find(one.id[:12]) == one
    assert one == network("a.b_c-d")._replace(id=one.id)
    with pytest.raises(WherryError, match="already exists"):
        networks.create(network("b"))
    assert sorted(os.listdir(f"{networks.root}/networks/defined")) == ["a.b_c-d.json", "b.json"]
    networks.remove(one)
    with pytest.raises(NotFound):
        networks.find(one.name)


def test_a_name_goes_before_an_id(networks: Networks) -> None:
    one = network("one")
    networks.create(one)
    named = network(one.id[:5], "b")
    networks.create(named)
    assert networks.find(one.id[:5]) == named
    networks.create(network("two", one.id[:1]))
    with pytest.raises(WherryError, match="several"):
        networks.find(one.id[:1])


@pytest.mark.parametrize(
    "name", ["default", "bridge", "host", "none", "", "-a", "a/b", "..", "a b", "x" * 129]
)
def test_names_that_cannot_be(networks: Networks, name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)
    assert networks.get(name) is None


NO_ADDRESSES = '{"id": "a", "name": "n", "created": 1, "subnets": [{"cidr": "x", "gateway": "y"}]}'


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 1}', NO_ADDRESSES])
def test_damaged(networks: Networks, text: str) -> None:
    networks.create(network("n"))
    Path(networks.root, "networks/defined/n.json").write_text(text)
    with pytest.raises(Corrupt, match=r"n\.json is damaged"):
        networks.all()
