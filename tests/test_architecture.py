"""The shape of the code: imports run one way, downwards, and a build with nothing to do imports little.

The direction is that of docs/architecture.md. All imports count, those within functions too: a lazy import
hides the time that a module takes, not that it is needed. Imports for types alone do not.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"

LEVELS = [
    {"cli"},
    {"ui"},
    {"build"},
    {"transfer"},
    {
        "dockerfile",
        "lint",
        "container",
        "runtime",
        "snapshot",
        "registry",
        "output",
        "bootstrap",
        "image",
        "networks",
    },
    {"layer"},
    {"store"},
    {"oci"},
    {"base"},
]

SIBLINGS = {
    "container": {"networks", "runtime", "snapshot"},
    "image": {"snapshot"},
    "lint": {"dockerfile"},
    "networks": {"runtime"},
    "output": {"registry", "snapshot"},
}
"""Imports that are allowed within a level; there are no others."""

PURE = {"dockerfile": {"dockerfile", "base"}, "oci": {"oci", "base"}}
"""Packages that touch no disk and no process, and what they may import."""

SIDE = {"testing"}
"""Beside the levels: nothing but tests imports it."""


def modules() -> dict[str, Path]:
    """Every module of wherry by its name, packages by their `__init__.py`."""
    found = {}
    for path in sorted((SOURCE / "wherry").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str, path: Path) -> Iterator[str]:
    """The modules of wherry that a module imports, wherever in it."""
    for node in _nodes(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = _source(name, path, node)
            targets = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            while target.partition(".")[0] == "wherry":
                if target in MODULES:
                    yield target
                    break
                target = target.rpartition(".")[0]


def _source(name: str, path: Path, node: ast.ImportFrom) -> str:
    """The absolute name of what an import is from: `from . import x` counts from the module's package."""
    if not node.level:
        return node.module or ""
    parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below `node`, but for those of `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if (
            isinstance(child, ast.If)
            and isinstance(child.test, ast.Name)
            and child.test.id == "TYPE_CHECKING"
        ):
            continue
        yield child
        yield from _nodes(child)


IMPORTS = {name: sorted(set(imports(name, path))) for name, path in MODULES.items()}


def package(module: str) -> str:
    """`base` for `wherry.base.errors`; "" for `wherry` itself, which everyone may ask for its version."""
    return module.split(".")[1] if "." in module else ""


def level(name: str) -> int:
    return next(number for number, names in enumerate(LEVELS) if name in names)


def test_every_package_has_its_level() -> None:
    assert {package(module) for module in MODULES} <= set().union({""}, SIDE, *LEVELS)


@pytest.mark.parametrize("module", [name for name in MODULES if package(name) not in {"", *SIDE}])
def test_imports_run_downwards(module: str) -> None:
    own = package(module)
    for target in IMPORTS[module]:
        other = package(target)
        if other in ("", own):
            continue
        assert other not in SIDE, f"{module} imports {target}: only tests may"
        if own in PURE:
            assert other in PURE[own], (
                f"{module} imports {target}: {own}/ stands on {PURE[own] - {own}} alone"
            )
        if level(own) == level(other):
            assert other in SIBLINGS.get(own, ()), f"{module} imports {target}: siblings, and not allowed"
        assert level(own) <= level(other), f"{module} imports {target}: an arrow back up"


def test_imports_make_no_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for target in IMPORTS[module]:
                if target != "wherry":
                    visit(target, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", [name for name in MODULES if name != "wherry.base.tuples"])
def test_named_tuples_are_those_of_base(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module == "typing":
            names = {alias.name for alias in node.names}
            assert "NamedTuple" not in names, (
                f"{module}: take NamedTuple from wherry.base.tuples, it is made faster"
            )


NEVER = {
    "rich",
    "urllib3",
    "dataclasses",
    "pathlib",
    "tempfile",
    "subprocess",
    "logging",
    "asyncio",
    "inspect",
}
"""What `wherry version`, `--help` and a build with nothing to do must not import: each takes milliseconds."""


MOST_MODULES = 105
"""Modules of wherry that a build with nothing to do may import."""


def imported_by(*words: str, root: Path) -> set[str]:
    """The modules that a command imports beyond those of a bare interpreter, with its exit code checked."""
    program = (
        "import sys\nbefore = set(sys.modules)\nfrom wherry.cli.main import main\ncode = main(sys.argv[1:])\n"
        "sys.stdout.flush()\nprint(*sorted(set(sys.modules) - before), file=sys.stderr)\nsys.exit(code)"
    )
    # -I -S: no site packages' start-up files, whose imports are not ours; the path is given by hand.
    paths = [str(SOURCE), *(entry for entry in sys.path if entry.endswith("site-packages"))]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys\nsys.path += {paths!r}\n{program}", *words],
        env=os.environ | {"WHERRY_ROOT": str(root / "store"), "XDG_CONFIG_HOME": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", ["version", "--help", "images", "tag --help"])
def test_small_commands_import_little(words: str, tmp_path: Path) -> None:
    assert imported_by(*words.split(), root=tmp_path) & NEVER == set()


def test_a_command_imports_no_other_command(tmp_path: Path) -> None:
    found = {name for name in imported_by("version", root=tmp_path) if name.startswith("wherry.cli.")}
    assert found == {f"wherry.cli.{name}" for name in ("main", "commands", "misuse", "parser", "version")}


def test_a_build_with_nothing_to_do_imports_little(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "app").write_text("1")
    (context / "Dockerfile").write_text('FROM scratch\nCOPY app /app\nENV A=b\nCMD ["/app"]\n')
    build = ("build", "-t", "app", "--progress=plain", str(context))
    imported_by(*build, root=tmp_path)
    found = imported_by(*build, root=tmp_path)
    assert found & NEVER == set()
    assert found & {"ctypes", "resource", "shutil", "zlib", "lzma", "msgspec"} == set()
    unneeded = (
        *(
            "wherry.bootstrap",
            "wherry.container",
            "wherry.lint",
            "wherry.output",
            "wherry.registry",
            "wherry.snapshot",
        ),
        *("wherry.runtime.conditions", "wherry.runtime.idmap", "wherry.runtime.runtimes"),
        *("wherry.build.carry", "wherry.build.contexts", "wherry.build.named"),
        *("wherry.build.execute", "wherry.build.fetching", "wherry.build.remote", "wherry.build.reuse"),
    )
    assert not {name for name in found if name.startswith(unneeded)}
    own = [name for name in found if name.startswith("wherry.")]
    assert len(own) <= MOST_MODULES, "is every new module needed? Each takes a quarter of a millisecond"


PARTS_OF_RUN = {
    "starter": (
        105,
        ["cli.main", "cli.parser", "cli.run", "container.run", "container.attach.attach"],
        {"ctypes"},
    ),
    "monitor": (
        140,
        ["container.monitor.supervise", "container.monitor.monitor", "runtime.native"],
        {"argparse"},
    ),
}
"""The two processes of `wherry run`: how many modules of wherry they may import until the container runs, the
modules that import all the others, and what one of them alone has to do without."""


@pytest.mark.parametrize("part", PARTS_OF_RUN)
def test_the_start_of_a_container_imports_little(part: str) -> None:
    most, names, unneeded = PARTS_OF_RUN[part]
    program = "".join(f"import wherry.{name}\n" for name in names) + "print(*sys.modules)"
    found = set(
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", f"import sys\nsys.path.append({str(SOURCE)!r})\n{program}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    )
    assert found & (NEVER | unneeded | {"bz2", "hashlib", "lzma", "msgspec", "queue", "shutil"}) == set()
    rare = [
        *("build", "dockerfile", "registry", "output", "layer.apply", "layer.index", "snapshot.copy"),
        *("runtime.chroot", "runtime.emulation", "runtime.oci", "runtime.net.forwarder"),
    ]
    assert not {name for name in found if name.startswith(tuple(f"wherry.{one}" for one in rare))}
    own = [name for name in found if name.startswith("wherry.")]
    assert len(own) <= most, "is every new module needed at each start? Each takes a quarter of a millisecond"
