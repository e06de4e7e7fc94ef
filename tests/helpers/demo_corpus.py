"""The demo's corpus for tests: its clips are encoded once a process, and copied."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from bigfusion.pipeline.demo.build import build


def copy_corpus(root: Path, dialogues: int) -> None:
    """Lay the demo's corpus of so many dialogues at ``root``, a folder that does not exist yet."""
    shutil.copytree(Path(_built(dialogues).name) / "MELD.Raw", root)


@cache
def _built(dialogues: int) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="bigfusion-demo-corpus-")
    build(Path(folder.name) / "MELD.Raw", dialogues=dialogues)
    return folder
