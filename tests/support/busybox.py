"""A tiny image of Debian's static busybox, put into a store without a build: 2 MB, made in milliseconds."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from support import foreign
from wherry.layer.layers import Layers
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.oci.config import Execution, ImageConfig
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.store.indexes import Member
from wherry.store.store import Store

PROGRAM = "/bin/busybox"

GREETING = "hello from inside\n"
SERVE = 'echo "hello from inside" > /tmp/index.html; exec httpd -f -p 8080 -h /tmp'
"""A shell's words for a web server on port 8080 that answers with the greeting."""

_PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n"
_GROUP = "root:x:0:\nweb:x:1000:\nextra:x:44:web\n"


def put(
    root: str | Path, name: str, execution: Execution | None = None, platform: Platform | None = None
) -> Digest:
    """Enter the image under `name` into the store at `root`; its ID. `platform`: this machine's, or arm64."""
    config = execution or Execution(cmd=("sh",))
    with Store.open(str(root)) as store:
        layer = Layers(store).add_stream(io.BytesIO(_archive(platform)), extract=False)
        image = ImageConfig(platform or platforms.host(), config, (layer.diff_id,))
        image_id = store.images.put(image.encode())
        store.images.tag(references.parse(name), image_id)
    return image_id


def put_index(root: str | Path, name: str) -> tuple[Digest, Digest]:
    """Enter the images for this machine and for arm64 as one name; their IDs."""
    images = put(root, name), put(root, name, platform=foreign.ARM64)
    with Store.open(str(root)) as store:
        members = [Member(store.images.get(image).config.platform, image) for image in images]
        store.images.tag(references.parse(name), images[0], store.indexes.put(members))
    return images


def _archive(platform: Platform | None) -> bytes:
    if platform == foreign.ARM64:
        program = foreign.busybox()
        words = [foreign.EMULATOR, str(program)]
    else:
        program = Path(PROGRAM)
        words = [PROGRAM]
    applets = subprocess.run([*words, "--list"], capture_output=True, text=True, check=True).stdout.split()
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700)):
            _add_folder(archive, folder, mode)
        _add_folder(archive, "home", 0o755)
        _add_folder(archive, "home/web", 0o755, owner=1000)
        _add_folder(archive, "data", 0o750, owner=1000)
        _add_file(archive, "data/seed", b"from the image\n", owner=1000)
        _add_file(archive, "etc/passwd", _PASSWD.encode())
        _add_file(archive, "etc/group", _GROUP.encode())
        _add_file(archive, "etc/notes.txt", b"not a program\n")
        _add_link(archive, "escape", "../../../../etc")
        archive.add(program, "bin/busybox", filter=_of_root)
        for applet in applets:
            if applet != "busybox":
                _add_link(archive, f"bin/{applet}", "busybox")
    return target.getvalue()


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    return member


def _add_folder(archive: tarfile.TarFile, name: str, mode: int, owner: int = 0) -> None:
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, mode, owner, owner
    archive.addfile(folder)


def _add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, target
    archive.addfile(link)


def _add_file(archive: tarfile.TarFile, name: str, content: bytes, owner: int = 0) -> None:
    file = tarfile.TarInfo(name)
    file.size, file.mode, file.uid, file.gid = len(content), 0o644, owner, owner
    archive.addfile(file, io.BytesIO(content))
