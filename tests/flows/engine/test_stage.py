"""A flow is defined without its form; a deployment's form has every setting, and a run still checks its parameters."""

import importlib

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema

from bigfusion.flows.engine.configuration import FLOWS
from bigfusion.flows.stages.partition import partition


@pytest.mark.parametrize("name", FLOWS)
def test_the_form_is_left_to_the_deployment(name):
    flow = getattr(importlib.import_module(f"bigfusion.flows.stages.{name}"), name)
    assert flow.name == name
    assert flow.parameters.definitions == {}
    form = parameter_schema(flow)
    assert form.properties["project"]["$ref"] == "#/definitions/Project"
    assert {"BigFusionSettings", "TrainSettings", "MeldSettings"} <= form.definitions.keys()


def test_a_run_still_makes_its_parameters_what_the_function_asks_for():
    with pytest.raises(ParameterTypeError, match=r"number: Input should be a valid integer"):
        partition.validate_parameters({"project": {}, "feature": "text", "number": "many", "parts": 2})
