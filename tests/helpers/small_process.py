"""What `fault_points.forked` forks from: a process that has imported whatever the store needs, and no more.

To fork one that has imported the whole suite takes forty milliseconds of a core, and it is done a thousand times.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bigfusion.pipeline.store.fsck import fsck
from tests.helpers import fault_points, toy_extraction

__all__ = ["fault_points", "pytest"]

with TemporaryDirectory() as folder:  # the store imports much when it needs it
    toy_extraction.run(Path(folder) / "store")
    fsck(Path(folder) / "store", Path(folder) / "store/index.sqlite")
