"""Prefect's ``flow``, as every stage is one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import Flow, flow

from bigfusion.flows.engine.hooks import HOOKS

P = ParamSpec("P")
T = TypeVar("T")


def stage(called: str) -> Callable[[Callable[P, T]], Flow[P, T]]:
    """Make a function a flow of its name, whose runs are ``called`` so. A pattern may name the function's parameters.

    Prefect makes a form of the parameters, with all settings and their bounds, as soon as a flow is defined. Nothing
    reads it: a deployment, whose page shows it, makes its own. It takes a third of a second for each flow, so the
    parameters have no types while the flow is being defined.
    """

    def define(work: Callable[P, T]) -> Flow[P, T]:
        function = inspect.unwrap(work)
        types, function.__annotations__ = function.__annotations__, {}
        try:
            return flow(name=function.__name__, flow_run_name=called, **HOOKS)(work)
        finally:
            function.__annotations__ = types

    return define
