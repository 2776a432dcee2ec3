"""ARG and ENV: which value a name has, where."""

from __future__ import annotations

from wherry.build.scope import Arguments, Scope, given, of_platform
from wherry.oci.platform import Platform

AMD64 = Platform("linux", "amd64")
ARM = Platform("linux", "arm", "v7")


def test_an_argument_without_value_comes_from_the_environment_or_not_at_all() -> None:
    assert given((("A", "1"), ("B", None), ("C", None)), {"B": "2"}) == {"A": "1", "B": "2"}


def test_platform_arguments() -> None:
    found = of_platform(ARM, AMD64, "")
    assert found["TARGETPLATFORM"] == "linux/arm/v7"
    assert found["TARGETARCH"] == "arm"
    assert found["TARGETVARIANT"] == "v7"
    assert found["BUILDPLATFORM"] == "linux/amd64"
    assert found["TARGETSTAGE"] == "default"


def test_a_given_value_goes_before_both_defaults() -> None:
    arguments = Arguments({"A": "given"}, {})
    arguments.declare_global("A", "global")
    assert arguments.lookup_global("A") == "given"
    assert arguments.value("A", "stage") == "given"


def test_a_stage_takes_the_global_value_only_without_a_default_of_its_own() -> None:
    arguments = Arguments({}, {})
    arguments.declare_global("A", "global")
    assert arguments.value("A", None) == "global"
    assert arguments.value("A", "stage") == "stage"
    assert arguments.value("B", None) is None


def test_env_hides_an_argument_and_proxies_are_hidden_always() -> None:
    scope = Scope(Arguments({"HTTP_PROXY": "http://p", "A": "1", "B": "2"}, {}))
    for name in ("HTTP_PROXY", "A", "B", "C"):
        scope.declare(name, None)
    assert scope.visible({"A": "env"}) == {"B": "2"}


def test_a_child_inherits_and_does_not_hand_back() -> None:
    parent = Scope(Arguments({}, {}))
    parent.declare("A", "1")
    child = parent.child()
    child.declare("A", "2")
    assert (parent.declared["A"], child.declared["A"]) == ("1", "2")


def test_unused_arguments_are_those_that_nothing_declares() -> None:
    arguments = Arguments({"A": "", "B": "", "no_proxy": "", "SOURCE_DATE_EPOCH": "1"}, {})
    arguments.value("A", None)
    assert arguments.unused() == ["B"]
