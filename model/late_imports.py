"""torch_geometric without its collection of data sets, until somebody asks for one.

The package imports all of its parts at once. The networks need its layers only, but the data sets import transformers
and more besides: a third of what it takes to import a network.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

DATASETS = "torch_geometric.datasets"


class _Late(MetaPathFinder):
    """Finds the data sets where they are, and has them loaded when the first of them is looked up."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != DATASETS:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and found.loader is not None:
            found.loader = LazyLoader(found.loader)
        return found


def import_datasets_late() -> None:
    """Put the import of torch_geometric's data sets off to their first use. Called before torch_geometric is imported.

    Source: the documentation of :class:`importlib.util.LazyLoader`.
    """
    sys.meta_path.insert(0, _Late())
