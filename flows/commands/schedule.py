"""``--cron`` and ``--timezone``, as `deploy` and `serve` take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.nearest import did_you_mean
from bigfusion.pipeline.words import reason

if TYPE_CHECKING:
    from prefect.client.schemas.schedules import CronSchedule


def schedule(cron: str | None, timezone: str) -> CronSchedule | None:
    """The schedule for Prefect, from the two options.

    Raises:
        SettingsError: the schedule is not valid, or the time zone does not exist.
    """
    _check_zone(timezone)
    if cron is None:
        return None
    from prefect.client.schemas.schedules import CronSchedule

    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValueError as error:
        raise SettingsError(
            f"--cron {cron!r} --timezone {timezone}: expected five fields as in crontab and a zone such"
            f" as Europe/Berlin, found {_reason(error)}"
        ) from None


def _check_zone(timezone: str) -> None:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(timezone)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        near = did_you_mean(timezone, available_timezones())
        raise SettingsError(
            f"--timezone {timezone!r}: expected a zone such as Europe/Berlin, found none of this name{near}"
        ) from None


def _reason(error: ValueError) -> str:
    """The reason of an error, without pydantic's text around it."""
    from pydantic import ValidationError

    return reason(error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error)
