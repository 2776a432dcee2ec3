"""What containers and volumes may be called, and random names for containers.

A random name is an adjective and a noun from rivers and harbours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_ADJECTIVES = (
    "able", "agile", "amber", "ample", "azure", "bold", "brave", "breezy", "bright", "brisk", "broad",
    "calm", "candid", "clear", "clever", "cosy", "crisp", "daring", "deep", "distant", "dry", "eager",
    "early", "easy", "even", "fabled", "fair", "famous", "fleet", "fluent", "fond", "fresh", "gentle",
    "glad", "golden", "grand", "happy", "hardy", "hidden", "honest", "humble", "jolly", "keen", "kind",
    "late", "level", "light", "lively", "lone", "loyal", "lucid", "lucky", "mellow", "merry", "mighty",
    "misty", "modest", "neat", "nimble", "noble", "northern", "patient", "placid", "plain", "polite",
    "prime", "proud", "quick", "quiet", "rapid", "ready", "roving", "salty", "sandy", "serene", "sharp",
    "shiny", "silent", "silver", "sleek", "smooth", "snug", "solid", "spry", "steady", "stout",
    "sturdy", "sunny", "swift", "tidal", "tidy", "tranquil", "true", "upbeat", "vast", "vivid", "warm",
    "western", "wise", "witty",
)  # fmt: skip

_NOUNS = (
    "anchor", "bank", "barge", "basin", "bay", "beacon", "bight", "boom", "bow", "breeze", "bridge",
    "brook", "buoy", "cable", "canal", "cape", "cargo", "channel", "coast", "coracle", "cove", "creek",
    "crew", "current", "cutter", "deck", "delta", "dinghy", "dock", "dory", "drift", "ebb", "eddy",
    "estuary", "fender", "ferry", "fjord", "fleet", "ford", "galley", "gull", "gunwale", "harbour",
    "haven", "helm", "heron", "hoist", "hold", "hull", "inlet", "island", "jetty", "keel", "ketch",
    "lagoon", "lake", "launch", "lighthouse", "lock", "lugger", "mast", "marsh", "mooring", "oar",
    "otter", "outrigger", "packet", "paddle", "pier", "pilot", "port", "prow", "punt", "quay", "raft",
    "reach", "reed", "reef", "rigging", "river", "rope", "rudder", "sail", "schooner", "shoal", "shore",
    "skiff", "sloop", "sluice", "sound", "spar", "stern", "strait", "swan", "tender", "tide", "tiller",
    "towpath", "tug", "wake", "wharf", "willow", "yawl",
)  # fmt: skip


def random_name(taken: Callable[[str], bool]) -> str:
    """`adjective_noun`; with a number behind it once most of the 11,000 pairs are taken."""
    for tries in range(1000):
        name = f"{_ADJECTIVES[_number(len(_ADJECTIVES))]}_{_NOUNS[_number(len(_NOUNS))]}"
        if tries >= 10:
            name += str(_number(10**6))
        if not taken(name):
            return name
    raise AssertionError("a thousand random names were all taken")


def _number(limit: int) -> int:
    """A random number below `limit`. The module `random` would take longer to import than all the rest."""
    return int.from_bytes(os.urandom(8), "big") % limit
