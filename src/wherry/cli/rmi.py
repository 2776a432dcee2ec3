"""`wherry rmi`: take names from images, and delete images that have lost their last one.

With the name of several images all of them go that no other name reaches. An image that a container stands on
is never deleted, not even with `-f`: then its names go, and `prune` takes it once the container is gone.
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
    """The images that were deleted; none where only a name went."""
    image = store.images.resolve(text)
    if image is None:
        raise NotFound(f"no such image: {text}", hint="`wherry images` lists the ones that are here")
    name = _name_in(store, text, image)
    if name:
        return _remove_name(store, name, force)
    names = store.images.holders(image.id)
    if not force:
        _check_one_name(store, image, names)
    going = _held_by(store, names) if names else _meant_by(store, text, image)
    users = _users(store, going)
    if not users:
        return _delete(store, going, names)
    if not force or not names or any(user.is_running for user in users):
        raise _in_use(f"the image {digests.short(image.id)}", users)
    return _untag(store, names)


def _remove_name(store: Store, name: Reference, force: bool) -> list[Digest]:
    going = _held_by(store, [name])
    users = _users(store, going)
    if not going or (users and force):
        return _untag(store, [name])
    if users:
        raise _in_use(f"the name {name.familiar}", users)
    return _delete(store, going, [name])


def _check_one_name(store: Store, image: Image, names: list[Reference]) -> None:
    """An ID says less than a name: what else would go has to be plain."""
    short = digests.short(image.id)
    if len(names) > 1:
        raise WherryError(
            f"conflict: the image {short} has several names: {', '.join(name.familiar for name in names)}",
            hint="remove them by name, or all of them with -f",
        )
    if names and names != store.images.names(image.id):
        raise WherryError(
            f"conflict: the image {short} is one of several that have the name {names[0].familiar}",
            hint="remove all of them by that name, or with -f",
        )


def _held_by(store: Store, names: list[Reference]) -> list[Digest]:
    """The images that these names reach and no others."""
    reached: dict[Digest, None] = {}
    for reference in names:
        name, index = store.images.name(reference), store.images.index_of(str(reference))
        if name:
            reached[name.image] = None
        reached.update(dict.fromkeys(member.image for member in index.members) if index else {})
    return [image_id for image_id in reached if set(store.images.holders(image_id)) <= set(names)]


def _meant_by(store: Store, text: str, image: Image) -> list[Digest]:
    """What an ID or a name with a digest means that has no other name: an index's images go with it."""
    index = store.images.index_of(text)
    members = dict.fromkeys(member.image for member in index.members) if index else (image.id,)
    return [image_id for image_id in members if not store.images.holders(image_id)]


def _users(store: Store, images: list[Digest]) -> list[Container]:
    in_use = images_in_use(store)
    return [user for image_id in images for user in in_use.get(image_id, [])]


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


def _delete(store: Store, images: list[Digest], names: list[Reference]) -> list[Digest]:
    known = [text for image_id in images for text in store.images.repo_digests(image_id)]
    for name in names:
        store.images.untag(name)
    for image_id in images:
        store.images.delete(image_id)
    unknown = (text for text in dict.fromkeys(known) if store.images.named(text) is None)
    for gone in (*(name.familiar for name in names), *unknown):
        print(f"Untagged: {gone}")
    for image_id in images:
        print(f"Deleted: {image_id}")
    return images


def _in_use(what: str, users: list[Container]) -> WherryError:
    user = next((user for user in users if user.is_running), users[0])
    state = "running" if user.is_running else "stopped"
    return WherryError(
        f"conflict: unable to remove {what}: the {state} container {user.spec.name} uses its image "
        f"{digests.short(Digest(user.spec.image))}",
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
