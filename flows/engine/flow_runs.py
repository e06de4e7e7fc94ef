"""Flow runs as `bigfusion status` shows them, read from a server or from the database that a server has left.

Importing Prefect's server takes seconds; its database is SQLite, and a few columns of three tables are enough.
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
    """One flow run; ``workspace`` is that of the project that it was given, ``child`` whether another run began it."""

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
    """The runs in Prefect's database: those to come, the next one first, then the others, the last one first.

    Raises:
        sqlite3.Error: it cannot be opened, or its tables are not those of the Prefect that this was written for.
    """
    names = ", ".join("?" for _ in flows)
    found: list[FlowRun] = []
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        for condition, order in (
            ("= 'SCHEDULED'", "run.expected_start_time"),
            ("<> 'SCHEDULED'", "coalesce(run.start_time, run.expected_start_time) desc"),
        ):
            query = _RUNS.format(names=names, condition=condition, order=order, limit=LOOKED_AT)
            found += [_run(*row) for row in database.execute(query, tuple(flows))]
    return found


def workspace_of(parameters: Any) -> str:
    """The workspace of a run's project; empty when it has none."""
    project = parameters.get("project") if isinstance(parameters, dict) else None
    workspace = project.get("workspace") if isinstance(project, dict) else None
    return str(workspace.get("path")) if isinstance(workspace, dict) else ""


def _run(flow: str, name: str, key: str, kind: str, state: str, message: str, *rest: Any) -> FlowRun:
    start, expected, seconds, parameters, child = rest
    spent = (_moment(seconds) or _EPOCH) - _EPOCH  # Prefect writes a duration as the moment so long after the epoch
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
