"""All tests in one mode: `WHERRY_ISOLATION=single-id make test`. What a mode does not promise is skipped."""

from __future__ import annotations

import os

CHOSEN = os.environ.get("WHERRY_ISOLATION", "")
RUNTIME = os.environ.get("WHERRY_TEST_RUNTIME", "")

_RUNTIMES = "other runtimes need more ids"
_UNOBSERVED = "what crun and runc start is not observed"
_UNEMULATED = "crun and runc find no emulator but one that is registered for the machine"
_ONE_OWNER = "stat(2) shows one owner for all files"
_OTHER_MODE = "is about another mode"

_NOT_PROMISED = {
    "userns": {
        "[single-id": _OTHER_MODE,
        "test_chroot.py": _OTHER_MODE,
        "test_modes.py": _OTHER_MODE,
        "test_single_id.py": _OTHER_MODE,
    },
    "single-id": {
        "crun": _RUNTIMES,
        "runc": _RUNTIMES,
        "[copy": "root filesystems are not copied in it",
        "test_explain.py::test_another_runtime_says_why": _RUNTIMES,
        "test_emulation.py::test_other_runtimes_need_one": _RUNTIMES,
        "test_chroot.py": _OTHER_MODE,
        "test_modes.py": _OTHER_MODE,
        "test_debug.py::test_what_changes_is_dropped_or_kept_as_wished[root]": _ONE_OWNER,
        "test_snapshotters.py": "root filesystems are not copied in it",
        "test_containers_rootless.py::test_files_of_other_users_are_removed_too": _OTHER_MODE,
        "test_containers.py::test_volumes": _ONE_OWNER,
        "test_add_remote.py::test_a_run_sees_what_was_added": _ONE_OWNER,
        "test_cache_mounts.py::test_what_a_cache_begins_with_and_whose_it_is": _ONE_OWNER,
        "test_single_id.py::test_its_results_are_not_taken_for_those_of_other_modes": _OTHER_MODE,
        "test_conditions.py::test_a_seccomp_profile_that_was_not_wanted": "its own filter stays",
    },
}


_NOT_OF_OTHER_RUNTIMES = {
    "test_observed_runs.py": _UNOBSERVED,
    "test_observed_calls.py": _UNOBSERVED,
    "test_killed.py::test_a_step_whose_listener_was_killed": _UNOBSERVED,
    "test_explain.py": _UNOBSERVED,
    "test_tally.py": _UNOBSERVED,
    "test_network_use.py": _UNOBSERVED,
    "test_emulation.py": _UNEMULATED,
    "test_platforms.py": _UNEMULATED,
    "test_examples.py::test_a_program_for_two_machines": _UNEMULATED,
    "test_observed_property.py::test_so_does_one_for_another_machine": _UNEMULATED,
    "[single-id": _RUNTIMES,
    "[one-id": _RUNTIMES,
    "test_single_id.py": _RUNTIMES,
    "test_chroot.py": _OTHER_MODE,
    "test_debug_terminal.py::test_a_shell_without_mounts": _OTHER_MODE,
    "test_cves.py::test_cve_2024_23653": "crun without cgroups withholds CAP_MKNOD",
    "test_cves.py::test_cve_2019_5736": "is about the built-in runtime",
    "test_private_network.py::test_for_an_ordinary_user": "its hint is about the built-in runtime",
}


def not_promised(test: str) -> str:
    """Why the chosen mode or runtime does not promise what a test asks for, by the test's ID; empty where it
    does."""
    cases = _NOT_OF_OTHER_RUNTIMES if RUNTIME else _NOT_PROMISED.get(CHOSEN, {})
    return next((reason for part, reason in cases.items() if part in test), "")
