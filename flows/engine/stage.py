"""Prefect's ``flow``, as every stage is one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import Flow, flow

from bigfusion.flows.engine.hooks import HOOKS
from bigfusion.flows.garbage import collect_all_rarely

P = ParamSpec("P")
T = TypeVar("T")

collect_all_rarely()  # a worker's process imports this before networks and encoders


def stage(called: str) -> Callable[[Callable[P, T]], Flow[P, T]]:
    """Make a function a Prefect flow of the same name. ``called`` names its runs and may use the function's parameters.

    As soon as a flow is defined, Prefect makes a form of its parameters, with all settings and their bounds. No run
    reads this form, and a deployment, whose page shows it, makes it again. It takes a third of a second for each flow.
    So the parameters have no types while the flow is being defined.
    """

    def define(work: Callable[P, T]) -> Flow[P, T]:
        function = inspect.unwrap(work)
        types, function.__annotations__ = function.__annotations__, {}
        try:
            return flow(name=function.__name__, flow_run_name=called, **HOOKS)(work)
        finally:
            function.__annotations__ = types

    return define
