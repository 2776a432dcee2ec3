"""The document of a build that is kept: nothing is lost by what is not written twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.base import values
from wherry.base.errors import Corrupt
from wherry.build import document
from wherry.build.kept import Build, Place
from wherry.build.step import Run
from wherry.oci.digest import Digest

DIGESTS = st.sampled_from([Digest(f"sha256:{letter * 64}") for letter in "abc"])
CHAINS = st.lists(DIGESTS, max_size=4).map(tuple)
VARIABLES = st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("12")), max_size=4).map(tuple)


def place(
    parent: tuple[Digest, ...] | None,
    inputs: tuple[tuple[Digest, ...], ...] = (),
    environment: tuple[tuple[str, str], ...] = (),
) -> Place:
    return Place("RUN x", None, "linux/amd64", Run(("x",), environment, "", "/"), (), parent, inputs)


PLACES = st.builds(place, st.none() | CHAINS, st.lists(CHAINS, max_size=2).map(tuple), VARIABLES)


@given(st.lists(PLACES, max_size=6).map(tuple))
def test_what_is_written_is_read_again(places: tuple[Place, ...]) -> None:
    build = Build(".", "Dockerfile", ("app",), places)
    text = json.dumps(document.written(build))
    assert document.whole(json.loads(text)) == json.loads(json.dumps(values.encode(build)))
    assert values.decode(Build, document.whole(json.loads(text))) == build


def test_its_length_grows_with_the_steps_and_not_with_their_square() -> None:
    def length(count: int) -> int:
        digests = tuple(Digest(f"sha256:{number:064}") for number in range(count))
        variables = tuple((f"NAME{number:09}", "value") for number in range(count))
        places = tuple(place(digests[:n], (digests[:n],), variables[:n]) for n in range(count))
        return len(json.dumps(document.written(Build("", "", (), places))))

    assert length(400) < 2.1 * length(200)


@pytest.mark.parametrize("damaged", [{}, {"places": [{}]}, {"places": [1]}, {"places": [{"parent": ["x"]}]}])
def test_another_form_is_corrupt(damaged: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match="not a build: "):
        document.whole(damaged)
