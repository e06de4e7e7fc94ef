"""Run a flow of Prefect's in this process, for the commands that have work to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bigfusion.flows.project.project import Project


def run_flow(project: Project, debug: bool, flow: Callable[[], object]) -> None:
    """Call ``flow``, which imports its flow itself, once Prefect is set up for this workspace."""
    from bigfusion.flows.engine.session import prefect
    from bigfusion.flows.project.workspace import Workspace

    if debug:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    with prefect(Workspace(project)):
        if project.runner.kind == "ray":  # its tasks run in other processes, which need a server to report to
            from bigfusion.flows.engine.server import free_port, own_server

            with own_server(Workspace(project), free_port()):
                flow()
        else:
            flow()
