"""Three chunks of three cells, extracted into a store as the product does it."""

from pathlib import Path

import numpy as np

from bigfusion.pipeline.schema import Status
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_store import cell, key, origin

CHUNKS = [[f"{chunk}-{n}" for n in range(3)] for chunk in range(3)]
NAMES = [name for chunk in CHUNKS for name in chunk]


def run(folder: Path) -> None:
    """What extraction does: see what is missing, compute it, commit. Each computation is written down."""
    store = Store(folder)
    for chunk in CHUNKS:
        done = store.statuses(map(key, chunk))
        missing = [name for name in chunk if key(name) not in done]
        if missing:
            with (folder.parent / f"{folder.name}.computed").open("a") as log:
                log.write("".join(f"{name}\n" for name in missing))
            store.commit(origin(created=f"2026-01-0{chunk[0][0]}"), [computed(name) for name in missing])
    store.close()


def computed(name: str):
    numbers = np.frombuffer(bytes.fromhex(key(name)), np.uint8)[:3].astype(np.float32)
    return cell(name, status=Status.SILENT, reason="flat") if name == "1-1" else cell(name, numbers)
