"""Full garbage collections are rare in a command: they look at what imports have made, and that stays."""

from __future__ import annotations

import atexit
import gc
from functools import cache

_MIDDLE_COLLECTIONS = 1000


@cache
def collect_all_rarely() -> None:
    """Make full collections a hundred times rarer in this process. Young objects are collected as often as before.

    The libraries of a run make a million objects that stay. While they are imported, Python looks through all of them
    eight times: a seventh of the time of an import. Python makes few full collections after that anyway, namely one
    whenever a quarter more objects have grown old. When the process ends, Python would look through them several
    times, for up to two seconds; it does so once, which closes what was left open.
    """
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _MIDDLE_COLLECTIONS)
    atexit.register(_collect_once)  # the first to be registered is the last to be called


def _collect_once() -> None:
    gc.collect()
    gc.freeze()
