"""`wherry rmi`: take names from images, and delete images that have lost their last one.

An image that a container stands on is never deleted, not even with `-f`: then its names go, and `prune`
takes it once the container is gone.
"""

from __future__ import annotations

import argparse

from wherry.base.errors import NotFound, WherryError
from wherry.cli.several import each
from wherry.container.containers import Container, images_in_use
from wherry.oci import digest as digests
from wherry.oci import reference as references
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference
from wherry.runtime import modes
from wherry.store.gc import Scope, collect
from wherry.store.images import Image
from wherry.store.store import Store


def register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", metavar="IMAGE", nargs="+")
    parser.add_argument(
        "-f", "--force", action="store_true", help="Remove all names of an image that is given by its ID"
    )


def run(args: argparse.Namespace) -> int:
    with Store.open() as store:
        modes.enter_as_user()
        deleted: list[Digest] = []
        code = each(
            args.images,
            lambda name: deleted.extend(_remove(store, name, args.force)),
            forgive_missing=args.force,
        )
        if deleted:
            _free(store)
    return code


def _remove(store: Store, text: str, force: bool) -> list[Digest]:
    """The image that was deleted; none where only a name went."""
    image = store.images.resolve(text)
    if image is None:
        raise NotFound(f"no such image: {text}", hint="`wherry images` lists the ones that are here")
    users = images_in_use(store).get(image.id, [])
    name = _name_in(store, text, image)
    names = store.images.names(image.id)
    if name is None:
        return _remove_by_id(store, image, names, users, force)
    if len(names) > 1 or (users and force):
        return _untag(store, [name])
    if users:
        raise _in_use(f"the name {name.familiar}", image, users)
    return _delete(store, image, names)


def _remove_by_id(
    store: Store, image: Image, names: list[Reference], users: list[Container], force: bool
) -> list[Digest]:
    if len(names) > 1 and not force:
        raise WherryError(
            f"conflict: the image {digests.short(image.id)} has several names: "
            f"{', '.join(name.familiar for name in names)}",
            hint="remove them by name, or all of them with -f",
        )
    if not users:
        return _delete(store, image, names)
    if not force or not names or any(user.is_running for user in users):
        raise _in_use(f"the image {digests.short(image.id)}", image, users)
    return _untag(store, names)


def _name_in(store: Store, text: str, image: Image) -> Reference | None:
    """The tag that `text` is; None for an ID, the beginning of one, or a name with a digest."""
    try:
        reference = references.parse(text)
    except WherryError:
        return None
    if reference.digest or store.images.id_of(reference) != image.id:
        return None
    return reference.with_default_tag()


def _untag(store: Store, names: list[Reference]) -> list[Digest]:
    for name in names:
        store.images.untag(name)
        print(f"Untagged: {name.familiar}")
    return []


def _delete(store: Store, image: Image, names: list[Reference]) -> list[Digest]:
    gone = [*(name.familiar for name in names), *store.images.repo_digests(image.id)]
    store.images.delete(image.id)
    for name in gone:
        print(f"Untagged: {name}")
    print(f"Deleted: {image.id}")
    return [image.id]


def _in_use(what: str, image: Image, users: list[Container]) -> WherryError:
    user = next((user for user in users if user.is_running), users[0])
    state = "running" if user.is_running else "stopped"
    return WherryError(
        f"conflict: unable to remove {what}: the {state} container {user.spec.name} uses its image "
        f"{digests.short(image.id)}",
        hint=f"remove the container first: `wherry rm {'-f ' if user.is_running else ''}{user.spec.name}`",
    )


def _free(store: Store) -> None:
    """Give the disk back what only the deleted images had. Where a build or a pull is in the store it is left
    to the next `rmi` or `prune`: nobody should have to wait for it."""
    try:
        with store.exclusive(wait=False):
            pass
    except BlockingIOError:
        return
    reclaimed = collect(store, Scope(images=False, records=False, until=0.0))
    for diff_id in reclaimed.layers:
        print(f"Deleted: {diff_id}")
