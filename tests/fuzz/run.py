"""One target under libFuzzer, guided by coverage: `python -m fuzz.run TARGET FOLDER [-runs=N ...]`.

FOLDER keeps what reached new code, and what fails is written to FOLDER-crash-*. A word that begins with a
dash is an option of libFuzzer (https://llvm.org/docs/LibFuzzer.html#options).
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def main(target: str, folder: Path, options: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["wherry"]):
        from fuzz import targets
    folder.mkdir(parents=True, exist_ok=True)
    for seed in targets.seeds(target):
        (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    words = Path(__file__).with_name("dockerfile.dict")
    settings = [f"-dict={words}", "-timeout=10", f"-artifact_prefix={folder}-", *options, str(folder)]
    atheris.Setup([target, *settings], targets.TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
