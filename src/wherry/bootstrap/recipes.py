"""What `wherry bootstrap NAME` can make: a table of families, and how a name is read.

The names are those of docker's official images, so that a Dockerfile written for them finds its base.
The content is the distribution's own packages: `python:3.11-slim` is Debian's python3 with pip and venv.
"""

from __future__ import annotations

import re

from wherry.base.errors import NotFound, WherryError
from wherry.base.tuples import NamedTuple
from wherry.oci.config import Execution

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class File(NamedTuple):
    """A regular file of root's; `path` is relative to the root folder."""

    path: str
    text: str
    mode: int = 0o644


class Family(NamedTuple):
    """One name of the table.

    `tags` is the form that a user may write; `distribution` is the one that has it ("" for any);
    `packages` are installed beside the essential ones; `main` is the package whose version the tag
    states ("" where tags state none); `version_variable` is set to that version in the image; `command`
    runs in the new root folder; `without` are patterns of paths left out, `files` and `links` are added.
    """

    tags: str
    packages: tuple[str, ...]
    execution: Execution
    distribution: str = ""
    main: str = ""
    version_variable: str = ""
    command: str = ""
    dpkg_options: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    bare: bool = False
    """One static program and its commands' names: no package manager."""


# Docker's python image has no such marker, and `pip install` works in it. An option of dpkg and not a
# deletion, so that an upgrade of the package does not bring the marker back.
_NO_PIP_MARKER = "path-exclude=/usr/lib/python3*/EXTERNALLY-MANAGED"

_ADD_NODE_USER = "useradd --uid 1000 --user-group --create-home --shell /bin/bash node"

# As in docker's image: the site's files in /usr/share/nginx/html, logs on the container's output.
_NGINX_SITE = """\
server {
    listen 80;
    server_name localhost;
    root /usr/share/nginx/html;
    index index.html index.htm;
}
"""

FAMILIES: dict[str, Family] = {
    "debian": Family("<suite>[-slim]", (), Execution(env=(PATH,), cmd=("bash",)), distribution="debian"),
    "ubuntu": Family("<suite>[-slim]", (), Execution(env=(PATH,), cmd=("bash",)), distribution="ubuntu"),
    "python": Family(
        "<version>[-slim][-<suite>]",
        ("ca-certificates", "python-is-python3", "python3", "python3-pip", "python3-venv"),
        Execution(env=(PATH, "LANG=C.UTF-8"), cmd=("python3",)),
        main="python3",
        version_variable="PYTHON_VERSION",
        dpkg_options=(_NO_PIP_MARKER,),
    ),
    "node": Family(
        "<version>[-slim][-<suite>]",
        ("ca-certificates", "nodejs", "npm"),
        Execution(env=(PATH,), cmd=("node",)),
        main="nodejs",
        version_variable="NODE_VERSION",
        command=_ADD_NODE_USER,
    ),
    "nginx": Family(
        "<version>[-slim][-<suite>]",
        ("ca-certificates", "nginx"),
        Execution(
            env=(PATH,),
            cmd=("nginx", "-g", "daemon off;"),
            exposed_ports=("80/tcp",),
            stop_signal="SIGQUIT",
        ),
        main="nginx",
        version_variable="NGINX_VERSION",
        without=("etc/nginx/sites-enabled/default",),
        files=(File("etc/nginx/conf.d/default.conf", _NGINX_SITE),),
        links=(("var/log/nginx/access.log", "/dev/stdout"), ("var/log/nginx/error.log", "/dev/stderr")),
    ),
    "busybox": Family(
        "<version>",
        ("busybox-static",),
        Execution(env=(PATH,), cmd=("sh",)),
        main="busybox-static",
        bare=True,
    ),
}

_VERSION = re.compile(r"\d+(?:\.\d+)*")
_SUITE = re.compile(r"[a-z]+")
_RELEASES = {"11": "bullseye", "12": "bookworm", "13": "trixie", "22.04": "jammy", "24.04": "noble"}


class Recipe(NamedTuple):
    """A name as it was understood; `suite` and `version` are empty where the name leaves them open."""

    name: str
    family: Family
    suite: str = ""
    version: str = ""
    slim: bool = False


def parse(text: str) -> Recipe:
    """`debian:bookworm-slim`, `python:3.11-slim-bookworm`, `busybox`: NotFound with the table for others."""
    name, _, tag = text.partition(":")
    family = FAMILIES.get(name)
    if family is None:
        raise NotFound(f"wherry bootstrap cannot make {text!r}", hint=f"it makes {known_names()}")
    recipe = Recipe(name, family)
    for word in tag.split("-") if tag not in ("", "latest") else ():
        recipe = _with_word(recipe, word, text)
    return recipe


def known_names() -> str:
    return ", ".join(f"{name}:{family.tags}" for name, family in FAMILIES.items())


def _with_word(recipe: Recipe, word: str, text: str) -> Recipe:
    """One word of a tag taken up; each kind may come once, a version only first."""
    untouched = not (recipe.version or recipe.suite or recipe.slim)
    if word == "slim" and not recipe.slim and not recipe.family.bare:
        return recipe._replace(slim=True)
    if recipe.family.distribution and word in _RELEASES and untouched:
        return recipe._replace(suite=_RELEASES[word])
    if recipe.family.main and _VERSION.fullmatch(word) and untouched:
        return recipe._replace(version=word)
    if _SUITE.fullmatch(word) and word not in ("slim", "alpine") and not recipe.suite:
        return recipe._replace(suite=word)
    raise WherryError(
        f"wherry bootstrap does not know the tag of {text!r}",
        hint=f"write {recipe.name}:{recipe.family.tags}",
    )


def matches(version: str, wanted: str) -> bool:
    """Whether an upstream version (3.11.2) is what a tag (3, 3.11, 3.11.2) asks for."""
    return version == wanted or version.startswith(wanted + ".")


def upstream(version: str) -> str:
    """Debian's `1:1.35.0-4+deb12u1+b1` without epoch, revision and repacking marks: `1.35.0`."""
    found = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    return found.group(1) if found else version
