"""Seconds as a player shows them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """``0:07``, ``12:30``, ``1:02:03``. Parts of a second are cut off."""
    minutes, rest = divmod(int(seconds + 1e-6), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def percent(share: float) -> str:
    """``81 %``. What is neither nothing nor everything is not called so: ``< 1 %``, ``> 99 %``."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "< 1 %"
    return "> 99 %" if whole == 100 and share < 1 else f"{whole} %"
