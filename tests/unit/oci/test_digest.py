"""Chain IDs: of the image specification's example, and grown step by step."""

from __future__ import annotations

import hashlib
import time

from hypothesis import given
from hypothesis import strategies as st

from wherry.oci import digest as digests
from wherry.oci.digest import ChainIds, Digest

LAYERS = [digests.of(bytes([number])) for number in range(4)]


def by_the_book(diff_ids: tuple[Digest, ...]) -> Digest:
    """OCI image-spec, config.md: ChainID(A|...|Y|Z) is the digest of ChainID(A|...|Y), a space and Z."""
    if len(diff_ids) < 2:
        return diff_ids[0] if diff_ids else digests.of(b"")
    text = f"{by_the_book(diff_ids[:-1])} {diff_ids[-1]}"
    return Digest(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


@given(st.lists(st.lists(st.sampled_from(LAYERS), max_size=6).map(tuple), max_size=8))
def test_remembered_chains_are_those_of_the_specification(chains: list[tuple[Digest, ...]]) -> None:
    known = ChainIds()
    for chain in chains:
        assert known.of(chain) == digests.chain_id(chain) == by_the_book(chain)


def test_a_chain_that_grows_is_not_hashed_from_the_bottom_each_time() -> None:
    known = ChainIds()
    chain: tuple[Digest, ...] = ()
    began = time.process_time()
    for _ in range(5000):
        chain = (*chain, LAYERS[0])
        known.of(chain)
    assert time.process_time() - began < 5
    assert known.of(chain) == digests.chain_id(chain)
