from importlib import import_module

import pytest

from bigfusion.model.kinds import settings_classes
from bigfusion.model.settings import NETWORKS, TrainSettings, network_settings

RELEASED = {
    kind: module.RELEASED
    for kind in settings_classes(NETWORKS)
    if hasattr(module := import_module(f"{NETWORKS}.{kind}"), "RELEASED")
}


@pytest.mark.parametrize("corpus", ["iemocap", "meld"])
@pytest.mark.parametrize("kind", RELEASED)
def test_released_numbers_are_settings_of_the_network_and_of_its_training(kind, corpus):
    released = RELEASED[kind][corpus]
    assert released.keys() == {"model", "train"}
    found = network_settings({"kind": kind} | released["model"])
    for name, value in found.model_dump(mode="json", include=set(released["model"])).items():
        assert value == released["model"][name]
    training = TrainSettings.model_validate(released["train"])
    assert training.model_dump(include=set(released["train"])) == released["train"]
