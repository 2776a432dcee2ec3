"""`-f URL`: the Dockerfile is fetched, and the context is whatever it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import Wherry, write_files
from support.repositories import Work, files_of, serving
from support.trees import contents

pytestmark = pytest.mark.needs("git")


def test_the_dockerfile_of_a_folder_from_a_url(wherry: Wherry, tmp_path: Path) -> None:
    source = write_files(tmp_path / "in", {"a": "1", "b": "2", ".dockerignore": "b\n"})
    text = "FROM scratch\nCOPY . /\n"
    write_files(
        tmp_path / "served", {"Some": text, "page": "<html></html>\n", "wrong": "FROM scratch\nCOPPY\n"}
    )
    work = Work(tmp_path / "srv" / "app")
    work.commit({"c": "3"})
    with serving(files_of(tmp_path / "served")) as server:
        built = wherry("build", "--progress=plain", "-t", "app", "-f", f"{server}/Some", source)
        assert built.code == 0, built.err
        assert f"[internal] load build definition from {server}/Some" in built.err
        assert set(contents(wherry.root, "app")) == {"a", ".dockerignore"}
        wherry.ok("build", "-t", "app", "-f", f"{server}/Some", work.url)
        assert set(contents(wherry.root, "app")) == {"c"}
        wrong = wherry("build", "-f", f"{server}/wrong", source)
        assert (wrong.code, "Dockerfile:2" in wrong.err) == (1, True)
        page = wherry("build", "-f", f"{server}/page", source)
        assert (page.code, f"{server}/page is not a Dockerfile" in page.err) == (1, True)
        two = wherry("build", "-f", f"{server.replace('://', '://me:s3cret@')}/Some", "-", stdin=text)
        assert "and -f http://" in two.err
        assert "s3cret" not in two.err
        missing = wherry("build", "--check", "-f", f"{server}/none", source)
        assert "was answered with 404 (Not Found)" in missing.err
