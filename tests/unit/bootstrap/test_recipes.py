from __future__ import annotations

import pytest

from wherry.base.errors import NotFound, WherryError
from wherry.bootstrap import recipes


@pytest.mark.parametrize(
    ("name", "family", "suite", "version", "slim"),
    [
        ("debian:bookworm-slim", "debian", "bookworm", "", True),
        ("debian:bookworm", "debian", "bookworm", "", False),
        ("debian:12-slim", "debian", "bookworm", "", True),
        ("debian", "debian", "", "", False),
        ("debian:latest", "debian", "", "", False),
        ("ubuntu:24.04", "ubuntu", "noble", "", False),
        ("python:3.11-slim", "python", "", "3.11", True),
        ("python:3", "python", "", "3", False),
        ("python:3.11.2-slim-bookworm", "python", "bookworm", "3.11.2", True),
        ("python:slim", "python", "", "", True),
        ("node:18-bookworm-slim", "node", "bookworm", "18", True),
        ("nginx", "nginx", "", "", False),
        ("busybox:1.35", "busybox", "", "1.35", False),
    ],
)
def test_a_name_is_read_as_docker_names_its_images(
    name: str, family: str, suite: str, version: str, slim: bool
) -> None:
    recipe = recipes.parse(name)
    assert (recipe.name, recipe.suite, recipe.version, recipe.slim) == (family, suite, version, slim)


def test_an_unknown_name_is_refused_with_the_table() -> None:
    with pytest.raises(NotFound) as caught:
        recipes.parse("alpine:3.18")
    assert "alpine:3.18" in caught.value.message
    for name in recipes.FAMILIES:
        assert f"{name}:" in caught.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "python:3.11-alpine",
        "debian:bookworm-20250520-slim",
        "debian:3",
        "python:3.11-3.12",
        "python:bookworm-3.11",
        "python:slim-slim",
        "debian:bookworm-slim-trixie",
        "busybox:slim",
        "node:18-",
        "node:$(id)",
    ],
)
def test_an_unknown_tag_is_refused_with_its_form(name: str) -> None:
    with pytest.raises(WherryError) as caught:
        recipes.parse(name)
    assert recipes.FAMILIES[name.partition(":")[0]].tags in caught.value.hint


@pytest.mark.parametrize(
    ("package", "number"),
    [
        ("3.11.2-1+b1", "3.11.2"),
        ("1:1.35.0-4+deb12u1+b1", "1.35.0"),
        ("18.20.4+dfsg-1~deb12u1", "18.20.4"),
        ("1.22.1-9+deb12u10", "1.22.1"),
    ],
)
def test_a_package_s_version_is_cut_down_to_the_program_s(package: str, number: str) -> None:
    assert recipes.upstream(package) == number


def test_a_version_is_matched_by_whole_parts() -> None:
    assert recipes.matches("3.11.2", "3")
    assert recipes.matches("3.11.2", "3.11")
    assert recipes.matches("3.11.2", "3.11.2")
    assert not recipes.matches("3.11.2", "3.1")
    assert not recipes.matches("3.11.2", "3.11.20")
