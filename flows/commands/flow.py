"""Run a Prefect flow in this process, for the commands that have work to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from bigfusion.flows.project.settings import Project
    from bigfusion.flows.project.standing import Standing

T = TypeVar("T")


def run_flow(project: Project, debug: bool, standing: Standing, flow: Callable[[], T]) -> T:
    """Set Prefect up, then call ``flow`` with ``standing`` handed on. ``flow`` must import its Prefect flow itself."""
    from bigfusion.flows.engine.session import prefect
    from bigfusion.flows.project.standing import handed_on

    def prepare() -> None:  # imports late: the stages import Prefect, which reads its settings on import
        from bigfusion.flows.stages.preparation import prepare

        prepare(project, standing)

    if debug:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
        os.environ.setdefault("PREFECT_LOGGING_ROOT_LEVEL", "INFO")
    with prefect(project.files, prepare), handed_on(project, standing):
        return flow()
