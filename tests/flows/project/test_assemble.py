"""What stops a training before it begins, and the remedy that can be pasted."""

import shlex
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from bigfusion.flows.project.assemble import assemble
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import FeatureName
from bigfusion.pipeline.settings import parse_assignment


def test_the_remedy_for_a_modality_without_features_survives_a_shell():
    store = SimpleNamespace(read=lambda modality, cells: (np.zeros((2, 1), np.float32), np.zeros(2, dtype=bool)))
    project = SimpleNamespace(files=SimpleNamespace(store=lambda: nullcontext(store)))
    planned = SimpleNamespace(
        features=tuple(map(FeatureName, ("audio", "text", "visual"))), fingerprints=lambda feature: b""
    )
    with pytest.raises(TrainingError) as stopped:
        assemble(project, Manifest("calls"), planned)  # type: ignore[arg-type]
    option = shlex.split(str(stopped.value).partition("settings file): ")[2])
    assert option[0] == "--set"
    assert parse_assignment(option[1]) == (["model", "modalities"], ["text", "visual"])


class Manifest:
    """As far as the message goes: a name and a length."""

    def __init__(self, corpus: str) -> None:
        self.corpus = corpus

    def __len__(self) -> int:
        return 2
