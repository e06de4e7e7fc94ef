"""When a flow run is cancelled or crashes, the runs that it started are cancelled too, wherever they are.

Files need no clean-up: a shard, a checkpoint or a pointer is complete or absent. Locks and slots become free by
themselves.
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
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Cancelled, Cancelling

from bigfusion.flows.logs import log
from bigfusion.pipeline.words import numbered


def cancel_children(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel every unfinished run that a run has started, on any worker, and the runs that those have started.

    The parameters have the names by which a worker calls a hook in place of a process that it has ended.
    """
    with get_client(sync_client=True) as client:
        cancelled = _cancel(client, flow_run.id)
    if cancelled:
        log.warning("%s %s: cancelled %s that it had started", flow_run.name, state.name, numbered(cancelled, "run"))


class Hooks(TypedDict):
    """Keyword arguments for Prefect's ``flow``."""

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
        # A worker ends the process of a "cancelling" run. A run inside the dead process has ended with it. The server
        # refuses "cancelling" for a run that has ended meanwhile, and would leave it so for ever if it were forced.
        own_process = child.deployment_id is not None and child.infrastructure_pid is not None
        asked: State[Any] = Cancelling() if own_process else Cancelled()
        answer = client.set_flow_run_state(child.id, asked, force=not own_process)
        count += answer.status is not SetStateStatus.ABORT
        count += _cancel(client, child.id)
    return count
