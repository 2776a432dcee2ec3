"""Addresses of networks and of containers."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.base.errors import WherryError
from wherry.networks import subnets
from wherry.networks.definition import Network, Subnet
from wherry.networks.roster import Endpoint, Roster, Segment, spoken

SMALL = Network("1" * 64, "n", 0.0, (Subnet("10.0.0.0/28", "10.0.0.1"),))
BOTH = Network("2" * 64, "m", 0.0, (Subnet("10.1.0.0/24", "10.1.0.1"), Subnet("fd00::/64", "fd00::1")))


def put(segment: Segment, container: str, *names: str, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    addresses = segment.addresses(wanted)
    segment.endpoints[container] = Endpoint(container, spoken(names), addresses, "port")
    return addresses


@given(st.lists(st.tuples(st.integers(0, 15), st.booleans()), max_size=60))
def test_nobody_has_another_ones_address(steps: list[tuple[int, bool]]) -> None:
    """Whatever comes and goes: each has an address of its own within the network, until it is full."""
    segment = Segment(SMALL)
    for number, comes in steps:
        segment.endpoints.pop(str(number), None)
        if comes and len(segment.endpoints) == 13:
            with pytest.raises(WherryError, match="no free address"):
                put(segment, str(number))
        elif comes:
            put(segment, str(number))
        given = [ipaddress.ip_address(one.addresses[0]) for one in segment.endpoints.values()]
        assert len(set(given)) == len(given)
        hosts = list(ipaddress.ip_network("10.0.0.0/28").hosts())[1:]
        assert set(given) <= set(hosts)


def test_an_address_that_was_given_back_rests() -> None:
    segment = Segment(SMALL)
    first = put(segment, "a")
    del segment.endpoints["a"]
    assert put(segment, "b") != first


@pytest.mark.parametrize(
    "wanted", ["10.0.0.0", "10.0.0.1", "10.0.0.15", "10.0.1.2", "10.0.0.2", "fd00::2"],
    ids=["network", "gateway", "broadcast", "elsewhere", "taken", "version"],
)  # fmt: skip
def test_addresses_that_cannot_be_had(wanted: str) -> None:
    segment = Segment(SMALL)
    assert put(segment, "a", wanted=("10.0.0.2",)) == ("10.0.0.2",)
    with pytest.raises(WherryError):
        segment.addresses((wanted,))


def test_two_families() -> None:
    segment = Segment(BOTH)
    assert put(segment, "a", wanted=("fd00::9",)) == ("10.1.0.2", "fd00::9")
    assert put(segment, "b") == ("10.1.0.3", "fd00::2")
    assert list(map(str, subnets.interfaces(BOTH, ("10.1.0.3", "fd00::2")))) == ["10.1.0.3/24", "fd00::2/64"]


def test_names_on_the_networks_of_a_container() -> None:
    roster = Roster()
    one, two = Segment(SMALL), Segment(BOTH)
    roster.segments = {one.network.id: one, two.network.id: two}
    put(one, "web", "Web", "www")
    put(one, "old", "old", "www")
    put(two, "db", "db")
    put(two, "web", "web", "inner")
    assert roster.addresses_of("web", "www") == ["10.0.0.2", "10.0.0.3"]
    assert roster.addresses_of("web", "db") == ["10.1.0.2", "fd00::2"]
    assert roster.addresses_of("old", "db") is None
    assert roster.addresses_of("old", "inner") is None
    assert roster.addresses_of("web", "www.n") == ["10.0.0.2", "10.0.0.3"]
    assert roster.addresses_of("web", "www.m") is None
    assert roster.addresses_of("nobody", "www") is None
    assert roster.name_of("old", "10.0.0.2") == "web.n"
    assert roster.name_of("old", "10.0.0.9") == ""
    assert roster.name_of("old", "10.1.0.2") is None
    assert roster.addresses_at("db", BOTH.id) == ("10.1.0.2", "fd00::2")


def test_names_that_dns_cannot_write() -> None:
    assert spoken(["A", "a", "", "x" * 64, "a..b", "\u00e4", "y" * 63]) == ("a", "y" * 63)


@pytest.mark.parametrize(
    "cidrs, gateways, pools",
    [
        (["10.0.0.0/33"], [], []), (["10.0.0.1/24"], [], []), (["10.0.0.0/31"], [], []),
        (["10.0.0.0/24"], ["10.1.0.1"], []), (["10.0.0.0/24"], [], ["10.1.0.0/25"]),
        (["10.0.0.0/24"], ["10.0.0.1", "10.0.0.2"], []), (["10.0.0.0/24", "10.1.0.0/24"], [], []),
        (["10.1.0.128/25"], [], []), (["10.0.0.0/8"], [], []), (["fd00::/65"], [], []), (["x"], [], []),
    ],
    ids=str,
)  # fmt: skip
def test_subnets_that_cannot_be(cidrs: list[str], gateways: list[str], pools: list[str]) -> None:
    with pytest.raises(WherryError):
        subnets.chosen(cidrs, gateways, pools, [BOTH])


def test_subnets_that_are_chosen() -> None:
    asked = subnets.chosen(["fd01::/64", "10.5.0.0/24"], ["10.5.0.9"], ["10.5.0.64/26"], [BOTH])
    assert asked == (Subnet("10.5.0.0/24", "10.5.0.9", "10.5.0.64/26"), Subnet("fd01::/64", "fd01::1"))
    taken = [BOTH]
    for number in range(20):
        free = subnets.chosen([], [], [], taken, ipv6=True)
        assert [ipaddress.ip_network(one.cidr).version for one in free] == [4, 6]
        taken.append(BOTH._replace(id=str(number), subnets=free))
    ranges = [ipaddress.ip_network(one.subnets[0].cidr) for one in taken]
    assert not any(a.overlaps(b) for a in ranges for b in ranges if a is not b)


@pytest.mark.parametrize(
    "text", ["02:42", "02:42:0a:00:00:0g", "01:00:5e:00:00:01", "00:00:00:00:00:00", "x" * 17]
)
def test_hardware_addresses_that_cannot_be(text: str) -> None:
    with pytest.raises(WherryError):
        subnets.parse_hardware_address(text)


def test_hardware_addresses() -> None:
    assert subnets.parse_hardware_address("02-42-0A-00-00-02") == bytes.fromhex("02420a000002")
    assert subnets.hardware_address(ipaddress.ip_address("10.0.0.2")) == bytes.fromhex("02420a000002")
