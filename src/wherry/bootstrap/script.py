"""What mmdebstrap is told to run beside installing packages.

Nothing here deletes or writes below the new root folder by itself: mmdebstrap has bound the machine's own
/dev, /proc and /sys into it at that time. What an image must not hold is left out later, of the tar stream.
"""

from __future__ import annotations

import shlex

from wherry.bootstrap.recipes import Recipe

VERSION_MARK = "wherry: version "

# Debian's slim images leave these out too. Licences stay: they must go with the programs.
_SLIM = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/groff/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/linda/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/man/*",
)


def dpkg_options(recipe: Recipe) -> list[str]:
    """They stay in the image, as in docker's: a package that is added later is slim and quick as well."""
    return ["force-unsafe-io", *(_SLIM if recipe.slim else ()), *recipe.family.dpkg_options]


def check_version(recipe: Recipe) -> str:
    """Before anything is downloaded: tell the main package's version, and stop where it is another one.

    On one line, because mmdebstrap shows it.
    """
    main = recipe.family.main
    lines = (
        "set -e",
        'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"',
        "apt-get update --error-on=any >&2",
        f"version=$(apt-cache show --no-all-versions {main} | sed -n 's/^Version: //p' | head -n 1)",
        f'echo "{VERSION_MARK}$version" >&2',
        "number=$(echo \"$version\" | sed -e 's/^[0-9]*://' -e 's/[^0-9.].*//')",
        f"wanted={shlex.quote(recipe.version)}",
        '[ -z "$wanted" ] || case "$number." in "$wanted".*) ;; *) exit 1 ;; esac',
    )
    return "; ".join(lines)


def in_root(command: str) -> str:
    """A command of the new system itself, once its packages are installed."""
    return f'chroot "${{1:?}}" {command}'
