"""An image unpacked by umoci, to compare."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from wherry.layer.layers import Layers
from wherry.oci import media
from wherry.oci.digest import Digest


def unpack(layers: Layers, chain: tuple[Digest, ...], folder: Path) -> str:
    """The root filesystem that umoci makes of the layers."""
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "image/blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    tars = []
    for diff_id in chain:
        with layers.open_tar(diff_id) as tar:
            data = bytearray()
            while block := tar.read(1 << 20):
                data += block
        tars.append(put(bytes(data), media.LAYER_TAR))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": list(chain)},
        "history": [{"created_by": "test"} for _ in chain],
    }
    manifest = {
        "schemaVersion": 2,
        "config": put(json.dumps(config).encode(), media.CONFIG),
        "layers": tars,
    }
    index = put(json.dumps(manifest).encode(), media.MANIFEST)
    index["annotations"] = {"org.opencontainers.image.ref.name": "test"}
    (folder / "image/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "image/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [index]}))
    command = ["umoci", "unpack", "--image", f"{folder}/image:test", f"{folder}/bundle"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return f"{folder}/bundle/rootfs"
