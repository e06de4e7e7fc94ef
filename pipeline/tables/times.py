"""Times in a table: seconds, or hours, minutes and seconds as players and subtitles write them."""

from __future__ import annotations

import math
import re

EXPECTED = "seconds from 0 on, mm:ss or hh:mm:ss,ms, or nothing"

_SECONDS = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"([0-9]+),([0-9]+)")
_CLOCK = re.compile(r"(?:([0-9]{1,4}):)?([0-9]{1,4}):([0-9]{1,2})(?:[.,]([0-9]+))?")


def seconds(cell: str, decimal_comma: bool = False) -> float | None:
    """A cell in seconds; NaN if it is empty, ``None`` if it is no time.

    ``83.5``, ``1:23.5`` and ``00:01:23,500`` mean the same time. ``1,5`` is one and a half. ``1,500`` may be 1500 or
    1.5. It is a time only with ``decimal_comma``: in a table whose cells a semicolon separates.
    """
    if not cell:
        return math.nan
    if _SECONDS.fullmatch(cell):
        time = float(cell)
    elif comma := _COMMA.fullmatch(cell):
        if len(comma[2]) == 3 and not decimal_comma:
            return None
        time = float(f"{comma[1]}.{comma[2]}")
    elif clock := _CLOCK.fullmatch(cell):
        hours, minutes, whole = int(clock[1] or 0), int(clock[2]), int(clock[3])
        if whole > 59 or (clock[1] and minutes > 59):
            return None
        time = float(f"{hours * 3600 + minutes * 60 + whole}.{clock[4] or 0}")
    else:
        return None
    return time if math.isfinite(time) else None
