"""What happens when a flow run is cancelled or crashes: nothing of it is left running or waiting elsewhere.

Files need no tidying: a shard, a checkpoint or a pointer is whole or not there, and locks and slots free themselves.
"""

from __future__ import annotations

from typing import Any, TypedDict
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State, StateType
from prefect.states import Cancelled, Cancelling

from bigfusion.flows.logs import log


def cancel_children(flow: Flow[Any, Any], run: FlowRun, state: State[Any]) -> None:
    """Cancel every unfinished run that ``run`` has started, on whatever worker, and theirs."""
    with get_client(sync_client=True) as client:
        cancelled = _cancel(client, run.id)
    if cancelled:
        log.warning("%s %s: cancelled %d runs that it had started", run.name, state.name, cancelled)


class Hooks(TypedDict):
    """Keyword arguments of ``flow``."""

    on_cancellation: list[Any]
    on_crashed: list[Any]


HOOKS = Hooks(on_cancellation=[cancel_children], on_crashed=[cancel_children])


def _cancel(client: SyncPrefectClient, parent: UUID) -> int:
    unfinished = [kind for kind in StateType if kind not in TERMINAL_STATES]
    children = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=unfinished)),
        )
    )
    count = 0
    for child in children:
        # A worker ends the process of a run that is "cancelling"; one within the dead process is over already.
        own_process = child.deployment_id is not None and child.infrastructure_pid is not None
        client.set_flow_run_state(child.id, Cancelling() if own_process else Cancelled(), force=True)
        count += 1 + _cancel(client, child.id)
    return count
