"""What a build tells of its Dockerfile: remembered, and never told where it is not so any more."""

from __future__ import annotations

import marshal
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.base.errors import WherryError
from wherry.base.events import Event, Summary
from wherry.build import linting, verdicts
from wherry.build.definition import Definition
from wherry.build.options import Options
from wherry.build.verdicts import Verdict, Verdicts
from wherry.dockerfile import parser
from wherry.dockerfile.ignore import Patterns
from wherry.lint.check import check
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.config import Execution, ImageConfig
from wherry.store.store import Store

HOST = platforms.host()
PLAIN = ImageConfig(HOST)
WITH_VARIABLE = ImageConfig(HOST, Execution(env=("late=1",)))
WITH_SHELL = ImageConfig(HOST, Execution(shell=("/bin/bash", "-c")))


class Situation(NamedTuple):
    """All that a verdict can depend on: `bases` are images in the store, `files` those of the context."""

    text: str = "FROM base AS one\nARG version\nCOPY kept /\nLABEL a=$late b=$other\nCMD run\n"
    name: str = "Dockerfile"
    arguments: tuple[tuple[str, str], ...] = ()
    target: str = ""
    platform: str = ""
    ignored: str = "left\n"
    bases: tuple[tuple[str, ImageConfig], ...] = (("base", PLAIN),)
    files: tuple[str, ...] = ("kept", "left")
    contexts: tuple[tuple[str, str], ...] = ()


class Told(NamedTuple):
    lines: tuple[str, ...]
    violation: str


def told(store: Store, folder: Path, situation: Situation) -> Told:
    """What a build of `situation` says. The store's images and the context are made to be just those."""
    for name, image, *_ in store.images.all_names():
        if dict(situation.bases).get(name.familiar.removesuffix(":latest")) != store.images.get(image).config:
            store.images.untag(name)
    for base, config in situation.bases:
        store.images.tag(references.parse(base), store.images.put(config.encode()))
    for path in ("kept", "left"):
        (folder / path).unlink(missing_ok=True)
        if path in situation.files:
            (folder / path).touch()
    events: list[Event] = []
    violation = ""
    try:
        with linting.warned(store, options(folder, situation), events.append) as tell:
            dockerfile = parser.parse(situation.text, situation.name)
            tell(dockerfile, dict(situation.arguments), defined(folder, situation))
    except WherryError as error:
        violation = error.message
    return Told(
        tuple(line for event in events if isinstance(event, Summary) for line in event.lines), violation
    )


def options(folder: Path, situation: Situation) -> Options:
    wanted = (platforms.parse(situation.platform),) if situation.platform else ()
    return Options(
        context=str(folder), target=situation.target, platforms=wanted, contexts=situation.contexts
    )


def defined(folder: Path, situation: Situation) -> Definition:
    ignored = None if situation.ignored == "fetched" else Patterns.parse(situation.ignored)
    return Definition(situation.name, "", situation.text.encode(), str(folder), ignored)


def found(store: Store, folder: Path, situation: Situation) -> Told:
    """What the linter itself says of `situation`, as `told` has left it."""
    definition = defined(folder, situation)
    around = linting.surroundings(store, options(folder, situation), dict(situation.arguments), definition)
    report = check(parser.parse(situation.text, situation.name), around)
    return Told(linting.summary(report), report.violation())


def memory(store: Store) -> Path:
    (path,) = Path(store.path("cache")).glob("lint-*")
    return path


def poison(store: Store) -> None:
    """Every remembered verdict says so: what is told from memory is told apart from what is found anew."""
    known = marshal.loads(memory(store).read_bytes())
    poisoned = {key: (("from memory",), *value[1:]) for key, value in known.items()}
    memory(store).write_bytes(marshal.dumps(poisoned))


CHANGES: dict[str, Callable[[Situation], Situation]] = {
    "text": lambda s: s._replace(text=s.text + "EXPOSE 80/TCP\n"),
    "a line's place": lambda s: s._replace(text="\n" + s.text),
    "a comment": lambda s: s._replace(text="# check=skip=UndefinedVar\n" + s.text),
    "name": lambda s: s._replace(name="Containerfile"),
    "arguments": lambda s: s._replace(arguments=(("version", "1"),)),
    "an argument's value": lambda s: s._replace(arguments=(("BUILDKIT_DOCKERFILE_CHECK", "skip=all"),)),
    "target": lambda s: s._replace(target="one"),
    "platform": lambda s: s._replace(platform="linux/riscv64"),
    "ignore file": lambda s: s._replace(ignored="kept\n"),
    "an ignore file that says nothing": lambda s: s._replace(ignored=""),
    "a context without one": lambda s: s._replace(ignored="fetched"),
    "named contexts": lambda s: s._replace(contexts=(("base", "docker-image://other"),)),
    "order of the ignore file": lambda s: s._replace(ignored="left\n!left\n"),
    "another image of the name": lambda s: s._replace(bases=(("base", WITH_VARIABLE),)),
    "no image of the name": lambda s: s._replace(bases=()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_verdict_is_remembered_until_one_input_changes(store: Store, tmp_path: Path, change: str) -> None:
    before = Situation()
    told(store, tmp_path, before)
    poison(store)
    assert told(store, tmp_path, before) == Told(("from memory",), "")
    assert told(store, tmp_path, CHANGES[change](before)).lines != ("from memory",)


@given(
    st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "x", "y"])),
    st.dictionaries(st.sampled_from("cd"), st.booleans()),
    st.tuples(*[st.sampled_from(["", "x", "y"])] * 2),
    st.tuples(st.booleans(), st.booleans()),
)
def test_a_verdict_holds_where_its_questions_have_the_same_answers(
    bases: dict[str, str], files: dict[str, bool], images: tuple[str, str], there: tuple[bool, bool]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        known = Verdicts(folder)
        verdict = Verdict(("line",), "", tuple(bases.items()), tuple(files.items()))
        known.put("key", verdict)
        now_bases, now_files = dict(zip("ab", images, strict=True)), dict(zip("cd", there, strict=True))
        same = now_bases | bases == now_bases and now_files | files == now_files
        assert known.get("key", now_bases.__getitem__, now_files.__getitem__) == (verdict if same else None)
        assert known.get("another", now_bases.__getitem__, now_files.__getitem__) is None


def test_another_version_of_the_linter_finds_anew(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(store, tmp_path, Situation())
    poison(store)
    monkeypatch.setattr("wherry.__version__", "another")
    assert told(store, tmp_path, Situation()).lines != ("from memory",)


TEXTS = st.lists(
    st.sampled_from(
        [
            "FROM base AS one",
            "from one as Two",
            "FROM other",
            "FROM $version",
            "FROM --platform=$TARGETPLATFORM scratch",
            "ARG version=base",
            "ARG PASSWORD",
            "ENV late 1",
            "LABEL a=$late b=$version",
            "COPY kept left /",
            "COPY --from=one a b",
            "WORKDIR rel",
            "CMD run",
            "EXPOSE 80/TCP",
            "MAINTAINER me",
        ]
    ),
    min_size=1,
    max_size=6,
).map("\n".join)
HEADS = st.sampled_from(["", "# check=error=true\n", "# check=skip=FromAsCasing\n"])
CONFIGS = st.sampled_from([PLAIN, WITH_VARIABLE, WITH_SHELL])
SITUATIONS = st.builds(
    Situation,
    name=st.just("Dockerfile"),
    text=st.builds(str.__add__, HEADS, TEXTS),
    arguments=st.sampled_from([(), (("version", "other"),), (("BUILDKIT_DOCKERFILE_CHECK", "error=true"),)]),
    target=st.sampled_from(["", "one", "0"]),
    platform=st.sampled_from(["", "linux/riscv64"]),
    ignored=st.sampled_from(["", "left", "*\n!kept", "fetched"]),
    contexts=st.sampled_from([(), (("base", "docker-image://other"),)]),
    bases=st.dictionaries(st.sampled_from(["base", "other"]), CONFIGS).map(lambda d: tuple(d.items())),
    files=st.sampled_from([(), ("kept",), ("left",), ("kept", "left")]),
)


@given(st.lists(SITUATIONS, min_size=2, max_size=3), st.lists(st.sampled_from(Situation._fields), max_size=5))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=50,
    deadline=None,
)
def test_what_is_told_is_what_is_found(
    store: Store, tmp_path: Path, situations: list[Situation], fields: list[str]
) -> None:
    """Also of situations that differ in one part alone, in any order, each of them twice."""
    first, *others = situations
    mixed = [first._replace(**{field: getattr(others[-1], field)}) for field in fields]
    for situation in (*situations, *mixed, *situations):
        assert told(store, tmp_path, situation) == found(store, tmp_path, situation)


def test_a_stage_that_is_not_built_is_not_told_of(store: Store, tmp_path: Path) -> None:
    text = "FROM scratch AS unused\nLABEL a=$no\nFROM scratch\n"
    assert told(store, tmp_path, Situation(text=text)) == Told((), "")


def test_the_memory_is_bounded_and_may_be_damaged(store: Store, tmp_path: Path) -> None:
    for number in range(verdicts.MOST + 5):
        told(store, tmp_path, Situation(text=f"FROM scratch\nLABEL a={number}\n"))
    assert len(marshal.loads(memory(store).read_bytes())) == verdicts.MOST
    told(store, tmp_path, Situation(text="FROM scratch\n" + "LABEL a=$no\n" * 1000))
    assert memory(store).stat().st_size < verdicts.MOST * (verdicts.LONGEST + 1000)
    fresh = Situation()
    expected = told(store, tmp_path, fresh)
    path = memory(store)
    known = marshal.loads(path.read_bytes())
    wrong = [
        b"",
        b"\xff",
        marshal.dumps([]),
        *(marshal.dumps(dict.fromkeys(known, v)) for v in (1, (), (1, 2, 3, 4))),
    ]
    for damaged in wrong:
        path.write_bytes(damaged)
        assert told(store, tmp_path, fresh) == expected
    os.chmod(path.parent, 0o500)
    try:
        assert told(store, tmp_path, fresh._replace(text="FROM scratch\n")) == Told((), "")
    finally:
        os.chmod(path.parent, 0o755)
