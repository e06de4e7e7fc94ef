"""The slot of a GPU that a training holds on Prefect's server (docs/production.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency

from bigfusion.flows.engine.configuration import SLOT
from bigfusion.flows.engine.patience import patiently


@contextmanager
def gpu_slot() -> Iterator[None]:
    """Hold a slot in this block. Waits until one is free, and while the server is away.

    Prefect's client asks again by itself only if the server has answered it before. Without the limit on the server
    nothing is held. A lease that cannot be renewed does not end hours of training: at worst two share a GPU for some
    time.

    Raises:
        httpx.HTTPError: the server refuses, or was away for too long.
    """
    with ExitStack() as held:
        patiently(lambda: _take(held))
        yield


def _take(held: ExitStack) -> None:
    try:
        held.enter_context(concurrency(SLOT, strict=False, raise_on_lease_renewal_failure=False))
    except ConcurrencySlotAcquisitionError as error:
        if isinstance(error.__cause__, httpx.HTTPError):
            raise error.__cause__ from None
        raise
