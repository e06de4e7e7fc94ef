"""Flow runs for `bigfusion status`, read from a server or from the database that a server has left.

To import Prefect's server takes seconds. So its SQLite database is read directly: a few columns of three tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bigfusion.pipeline.readonly import in_memory, writable

LOOKED_AT = 100

_RUNS = """
    select flow.name, run.name, run.id, coalesce(run.state_type, ''), coalesce(run.state_name, 'Pending'),
           coalesce(state.message, ''), run.start_time, run.expected_start_time, run.total_run_time,
           run.parameters, run.parent_task_run_id is not null
    from flow_run as run join flow on flow.id = run.flow_id left join flow_run_state as state on state.id = run.state_id
    where flow.name in ({names}) and coalesce(run.state_type, '') {condition} order by {order} limit {limit}
"""


@dataclass(frozen=True)
class FlowRun:
    """One flow run. ``workspace`` is the workspace of its project; ``child`` says whether another run started it."""

    flow: str
    name: str
    id: str
    state_type: str
    state: str
    message: str
    start: datetime | None
    expected: datetime | None
    seconds: float
    workspace: str
    child: bool


def of_database(path: Path, flows: Sequence[str]) -> list[FlowRun]:
    """The runs in Prefect's database: first the scheduled ones, the next one first, then the others, the latest first.

    Raises:
        sqlite3.Error: the database cannot be opened, or another version of Prefect has made its tables.
    """
    names = ", ".join("?" for _ in flows)
    found: list[FlowRun] = []
    with closing(_opened(path.resolve())) as database:
        for condition, order in (
            ("= 'SCHEDULED'", "run.expected_start_time"),
            ("<> 'SCHEDULED'", "coalesce(run.start_time, run.expected_start_time) desc"),
        ):
            query = _RUNS.format(names=names, condition=condition, order=order, limit=LOOKED_AT)
            found += [_run(*row) for row in database.execute(query, tuple(flows))]
    return found


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) if writable(path) else in_memory(path)


def workspace_of(parameters: Any) -> str:
    """The workspace of a run's project. Empty if the run has no project."""
    project = parameters.get("project") if isinstance(parameters, dict) else None
    workspace = project.get("workspace") if isinstance(project, dict) else None
    return str(workspace.get("path")) if isinstance(workspace, dict) else ""


def _run(flow: str, name: str, key: str, kind: str, state: str, message: str, *rest: Any) -> FlowRun:
    start, expected, seconds, parameters, child = rest
    spent = (_moment(seconds) or _EPOCH) - _EPOCH  # Prefect stores a duration as a moment: the epoch plus the duration
    return FlowRun(
        flow,
        name,
        key,
        kind,
        state,
        message,
        _moment(start),
        _moment(expected),
        spent.total_seconds(),
        workspace_of(json.loads(parameters)),
        bool(child),
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _moment(text: str | None) -> datetime | None:
    return None if text in (None, "", "0") else datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
