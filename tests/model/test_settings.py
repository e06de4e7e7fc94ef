"""One ``[model]`` table, as many networks as there are files of settings."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from bigfusion.flows.project.load import laid, load_learning
from bigfusion.model.contrast_settings.dual_importance import DualImportanceSettings
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.network_settings.bigru import BiGRUSettings
from bigfusion.model.settings import beneath, network_settings
from bigfusion.pipeline.errors import SettingsError


def test_settings_without_a_kind_are_big_fusions():
    assert network_settings({"width": 64}) == BigFusionSettings(width=64)
    assert network_settings({"contrast": {"rho": [0.1, 0.2]}}).contrast == DualImportanceSettings(rho=(0.1, 0.2))


def test_the_kind_chooses_the_class():
    found = network_settings({"kind": "bigru", "layers": 3})
    assert isinstance(found, BiGRUSettings) and found.layers == 3
    assert network_settings(found.model_dump(mode="json")) == found


def test_an_unknown_kind_is_answered_with_the_known_ones():
    with pytest.raises(ValidationError, match=r"expected a kind among .*bigfusion, bigru"):
        network_settings({"kind": "lstm"})


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["model.widht=3"], r"unknown key model\.widht \(model\.kind = 'bigfusion'\)"),
        (["model.kind=bigru", "model.heads=3"], r"unknown key model\.heads \(model\.kind = 'bigru'\)"),
        (["model.kind=bigru", "model.width=7"], r"model \(model\.kind = 'bigru'\): .*width must be even"),
        (["model.kind=lstm"], r"model: expected a kind among .*bigru.*, found 'lstm'"),
        (["model.contrast.kind=none"], r"model\.contrast.*: expected a kind among .*dual_importance"),
        (["model.contrast.rhoo=1"], r"unknown key model\.contrast\.rhoo"),
    ],
)
def test_what_does_not_fit_is_told_with_its_kind(assignments, message):
    with pytest.raises(SettingsError, match=message) as error:
        load_learning(None, "paper", assignments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("preset", ["tuned", "best", "paper"])
def test_another_network_over_a_preset_starts_from_its_own_defaults(preset):
    found = load_learning(None, preset, ["model.kind=bigru", "model.width=64"])
    assert found.model == BiGRUSettings(width=64)
    assert found.train == load_learning(None, preset).train


def test_what_every_network_has_stays_beneath_another_one():
    table = {"kind": "bigfusion", "modalities": ["text"], "width": 64, "contrast": {"rho": [0, 0]}}
    assert beneath(table, {"kind": "bigru"}) == {"modalities": ["text"]}
    assert beneath(table, {"kind": "bigfusion"}) == beneath(table, {"width": 3}) == table
    assert beneath(table | {"centred": ["audio"]}, {"kind": "bigru"}) == {"modalities": ["text"]}, "each its own"
    assert beneath(table, {"kind": "no such"}) == table  # to be refused, with all that it says


def test_what_another_contrast_fixes_does_not_stay_beneath_it():
    table = {"contrast": {"positives": "node", "weight": 0.2, "rho": [0, 0]}}
    assert beneath(table, {"contrast": {"kind": "gca"}}) == {"contrast": {"positives": "node", "weight": 0.2}}
    assert beneath(table, {"contrast": {"kind": "supervised"}}) == {"contrast": {"weight": 0.2}}


def test_the_same_network_is_laid_on_key_by_key():
    below = {"model": {"width": 64, "graph": {"window": 4}}, "train": {"epochs": 3}}
    found = laid(below, {"model": {"kind": "bigfusion", "graph": {"layers": 2}}})
    assert found == {
        "model": {"width": 64, "kind": "bigfusion", "graph": {"window": 4, "layers": 2}},
        "train": {"epochs": 3},
    }


def test_settings_import_neither_torch_nor_scipy_nor_spikingjelly():
    code = "import sys, bigfusion.model.settings; print({'torch', 'scipy', 'spikingjelly'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
