"""Repositories by the `git` command: what a name means now, and the files of a commit.

    cache/git-<32 hex>       a bare repository with the commits that were asked for
    cache/git-<32 hex>.lock  held while it is used

The name is the digest of the address without user and password. A checkout is made from the bare repository
in a scratch folder; submodules are fetched with it, and are not kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.base.errors import NotFound, WherryError
from wherry.build.legible import redacted
from wherry.build.remote.address import Account, Repository, is_commit
from wherry.build.remote.gitcommand import GitCommand
from wherry.store.store import remove_tree


class Git:
    """One repository, for one thread."""

    def __init__(
        self,
        repository: Repository,
        scratch: str,
        cache: str,
        *,
        local: bool = False,
        account: Account | None = None,
    ) -> None:
        """`scratch` is an empty folder, where checkouts are; `cache` the store's.

        `local`: the repository itself may be of this machine's files. Never for what a Dockerfile names.
        `account` is who asks where the address does not say it.
        """
        self._repository = repository
        self._scratch = scratch
        self._git = GitCommand(repository.url, f"{scratch}/home", account, local=local)
        self._bare = f"{cache}/git-{hashlib.sha256(self._git.url.encode()).hexdigest()[:32]}"
        self._ref = ""
        """The whole name of what was asked for: `refs/heads/main`; "" as long as that is not known."""

    def commit(self) -> str:
        """The hash of the commit that is meant now. The server is asked, unless the ref is a whole hash."""
        ref = self._repository.ref
        found = ref if is_commit(ref) else self._ask(ref or "HEAD")
        if not found.startswith(self._repository.checksum):
            raise WherryError(
                f"{self._label} is the commit {found}, not {self._repository.checksum}",
                hint="correct the checksum if that commit is meant",
            )
        return found

    def checkout(self, commit: str, keep_git_dir: bool = False) -> str:
        """The folder with the files of `commit`, a whole hash; call it once.

        With `keep_git_dir` it has a `.git` with that commit and no history; where a folder of the repository
        is meant, that is beside the files.
        """
        tree = f"{self._scratch}/tree"
        with self._locked():
            was_there = self._fetch(commit)
            try:
                self._read(commit, tree, keep_git_dir)
            except WherryError:
                if not was_there:
                    raise
                # What was kept may have been damaged by a loss of power.
                remove_tree(self._bare)
                self._fetch(commit)
                self._read(commit, tree, keep_git_dir)
        return self._subfolder(tree)

    @property
    def _shown(self) -> str:
        return redacted(self._git.url)

    @property
    def _label(self) -> str:
        ref = self._repository.ref
        return self._shown + (f"#{ref}" if ref else "")

    def _ask(self, ref: str) -> str:
        """`ls-remote` matches the ends of names, so the right one is chosen from its answers."""
        output = self._git.output("ls-remote", "--", self._git.url, ref, f"{ref}^{{}}")
        found = {name: commit for commit, _, name in (line.partition("\t") for line in output.splitlines())}
        # A branch goes before a tag, as with git-checkout; a tag object stands for its commit.
        for name in (ref, f"refs/{ref}", f"refs/heads/{ref}", f"refs/tags/{ref}"):
            if name in found:
                self._ref = name
                return found.get(f"{name}^{{}}", found[name])
        if not self._repository.ref:
            raise NotFound(f"{self._shown} has no default branch: it may be empty")
        raise NotFound(
            f"{self._shown} has no branch or tag {ref!r}",
            hint="a commit is named by all 40 digits of its hash",
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            descriptor = os.open(f"{self._bare}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise WherryError(f"cannot write to the store: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _fetch(self, commit: str) -> bool:
        """Bring the commit into the bare repository; whether it was there."""
        if not os.path.isdir(self._bare):
            # Whole or not at all.
            unfinished = f"{self._scratch}/bare"
            self._init(commit, "--bare", unfinished)
            os.rename(unfinished, self._bare)
        self._remove_stale_locks()
        if self._has(commit):
            self._hold(commit)
            return True
        failure: WherryError | None = None
        for words in self._attempts(commit):
            try:
                self._git.output("fetch", "-q", "--no-tags", *words, folder=self._bare)
                failure = None
            except WherryError as error:
                failure = error
            if self._has(commit):
                self._hold(commit)
                return False
        raise failure or NotFound(f"{self._shown} has no commit {commit}")

    def _attempts(self, commit: str) -> Iterator[tuple[str, ...]]:
        """Not every server gives a commit by its hash, and not every one can leave out the history."""
        url, target = self._git.url, f"refs/wherry/{commit}"
        yield "--depth=1", "--", url, f"+{commit}:{target}"
        if self._ref:
            yield "--depth=1", "--", url, f"+{self._ref}:{target}"
            yield "--", url, f"+{self._ref}:{target}"
        yield "--", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"

    def _hold(self, commit: str) -> None:
        self._git.output("update-ref", f"refs/wherry/{commit}", commit, folder=self._bare)

    def _has(self, commit: str) -> bool:
        return self._git.succeeds("cat-file", "-e", f"{commit}^{{commit}}", folder=self._bare)

    def _remove_stale_locks(self) -> None:
        """A git that was killed leaves its own locks; under ours no other can be running."""
        for folder in (self._bare, f"{self._bare}/refs/wherry"):
            for name in os.listdir(folder) if os.path.isdir(folder) else []:
                if name.endswith(".lock"):
                    os.unlink(f"{folder}/{name}")

    def _init(self, commit: str, *words: str, folder: str = "", tree: str = "") -> None:
        # A hash of 64 digits is a sha256 (git-init(1), "--object-format").
        form = ["--object-format=sha256"] if len(commit) == 64 else []
        self._git.output("init", "-q", "--template=", *form, *words, folder=folder, tree=tree)

    def _read(self, commit: str, tree: str, keep: bool) -> None:
        """Write the files and their submodules', by a repository of their own that borrows what is kept."""
        remove_tree(tree)
        remove_tree(f"{self._scratch}/git")
        os.mkdir(tree, 0o755)
        os.chmod(tree, 0o755)
        folder = f"{tree}/.git" if keep else f"{self._scratch}/git"
        if keep:
            self._init(commit, tree)
            self._git.fetch_local(self._bare, f"refs/wherry/{commit}", folder=folder)
        else:
            self._init(commit, folder=folder, tree=tree)
            os.makedirs(f"{folder}/objects/info", exist_ok=True)
            with open(f"{folder}/objects/info/alternates", "w") as file:
                file.write(f"{self._bare}/objects\n")
        self._git.output("remote", "add", "origin", self._git.url, folder=folder)
        self._git.output("update-ref", "--no-deref", "HEAD", f"{commit}^{{commit}}", folder=folder)
        self._git.output("read-tree", "--reset", "-u", commit, folder=folder, tree=tree)
        has_modules = self._repository.submodules and os.path.lexists(f"{tree}/.gitmodules")
        if has_modules:
            self._update_submodules(folder, tree)
        if keep:
            self._complete(commit, folder, tree)
        elif has_modules:
            _remove_links_to_modules(tree)

    def _update_submodules(self, folder: str, tree: str) -> None:
        words = ("submodule", "-q", "update", "--init", "--recursive", "--checkout")
        try:
            self._git.output(*words, "--depth=1", folder=folder, tree=tree)
        except WherryError:
            # Servers of plain files cannot leave out the history.
            self._git.output(*words, folder=folder, tree=tree)

    def _complete(self, commit: str, folder: str, tree: str) -> None:
        """Make a kept `.git` the same wherever and whenever it is made: no logs, no times of files."""
        if self._ref.startswith(("refs/heads/", "refs/tags/")):
            self._git.output("update-ref", self._ref, f"{commit}^{{commit}}", folder=folder)
        # Deltas depend on the number of threads that look for them.
        self._git.output("-c", "pack.threads=1", "repack", "-a", "-d", "-f", "-q", folder=folder)
        # Written anew, an index knows no times and inodes of this machine.
        self._git.output("read-tree", commit, folder=folder, tree=tree)
        if os.path.isdir(f"{folder}/modules"):
            words = ("submodule", "-q", "foreach", "--recursive", "git read-tree HEAD")
            self._git.output(*words, folder=folder, tree=tree)
        for here, folders, names in os.walk(folder):
            for name in {"FETCH_HEAD", "ORIG_HEAD"} & set(names):
                os.unlink(f"{here}/{name}")
            if "logs" in folders and "HEAD" in names:
                remove_tree(f"{here}/logs")
                folders.remove("logs")

    def _subfolder(self, tree: str) -> str:
        """The folder that is meant; links lead nowhere outside of the checkout."""
        wanted = self._repository.folder.strip("/")
        if wanted in ("", "."):
            return tree
        from wherry.base.paths import Root

        try:
            with Root(tree, follow=True) as root:
                descriptor = root.open(wanted, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    return os.readlink(f"/proc/self/fd/{descriptor}")
                finally:
                    os.close(descriptor)
        except OSError:
            raise NotFound(f"{self._label} has no folder {wanted!r}") from None


def _remove_links_to_modules(tree: str) -> None:
    """`.git` files of submodules: what they name is not there any more. Git allows no other `.git`."""
    for folder, _, names in os.walk(tree):
        if ".git" in names:
            os.unlink(f"{folder}/.git")
