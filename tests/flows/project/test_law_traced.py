"""The law's other side: every function of the project that runs while numbers are made counts."""

import inspect
import sys
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FrameType

import pytest

from bigfusion.flows.project import assemble, cells, corpus, runs
from bigfusion.flows.project.features import make
from bigfusion.flows.project.load import load
from bigfusion.model.training.train import train
from bigfusion.pipeline.digests.code import PROJECT
from bigfusion.pipeline.digests.files import file_sha256
from bigfusion.pipeline.schema import FeatureName, Modality
from tests.helpers.first_defaults import settings_classes
from tests.helpers.small_runs import small_data, small_model, small_training
from tests.helpers.tiny_encoder import save_roberta
from tests.helpers.tiny_images import saved
from tests.helpers.tiny_speech import save_ctranslate2, save_speech

HERE = f"{PROJECT}/bigfusion/"


def ran(work: Callable[[], object], inside: str = "") -> set[str]:
    """The project's functions and methods that ``work`` called, in any thread: ``read_frames``, ``Source.decode``.

    ``inside``: only those of files below this folder, or of this file.
    """
    seen: set[str] = set()

    def called(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(HERE + inside) and code.co_flags & inspect.CO_OPTIMIZED:
            seen.add(code.co_qualname.partition(".<")[0])

    threading.setprofile(called)
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    errors = {name for name in seen if name.partition(".")[0].endswith("Error")}
    seen.discard("<lambda>")  # a default argument: part of the function that has it
    seen.discard("Late.find_spec")  # asked about every module that is imported meanwhile
    return seen - errors - digested_by_value()


@cache
def digested_by_value() -> set[str]:
    """What makes settings and reads their values, which are digested themselves."""
    found = {f"Settings.{name}" for name in ("numbers", "_is_first", "present_default")} | {"first_defaults"}
    found |= {"any_kind", "kind", "settings_classes"}  # which class reads a table
    for kind in settings_classes():
        decorators = kind.__pydantic_decorators__
        found |= {f"{kind.__name__}.{name}" for name in (*decorators.model_validators, *decorators.field_validators)}
    return found


OTHER_WAYS = {
    Modality.TEXT: ["text.context=2", "text.layers=last4"],
    Modality.VISUAL: ["visual.speaker=talking", "visual.pool=mean+std"],
}


@pytest.mark.parametrize(
    ("modality", "settings"), [*((modality, []) for modality in Modality), *OTHER_WAYS.items()], ids=str
)
def test_whatever_an_extractor_runs_counts(finished, modality, settings):
    """Of three utterances the last has no media."""
    project = load(finished.config, assignments=settings)
    manifest = corpus.kept(project)
    maker = make(project, FeatureName(modality))
    counted = cells.description(maker)["code"]
    utterances = manifest.utterances(manifest.table["utterance"].tolist()[3:6], maker.spec.window)
    found = ran(lambda: maker.extract(utterances))
    assert len(found) > 5
    assert found - counted.keys() == set()


KINDS: dict[str, Callable[[Path], dict[str, object]]] = {
    "text/encoder": lambda folder: {"model": str(save_roberta(folder))},
    "text/transformer": lambda folder: {"model": str(save_roberta(folder)), "pooling": "mean"},
    "audio/opensmile": lambda folder: {},
    "audio/transformer": lambda folder: {"model": str(save_speech(folder, "wavlm"))},
    "audio/whisper": lambda folder: {"model": str(save_ctranslate2(folder)), "pad": "own"},
    "visual/speaker_face": lambda folder: {},
    "visual/image_encoder": lambda folder: {"model": str(saved(folder, "clip"))},
}
"""The kinds of extractors that have frames, by their file, and settings of a small one."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ["utterance", "frame"])
def test_whatever_a_kind_of_extractor_runs_counts_with_frames_and_without(finished, tmp_path, kind, level):
    module = import_module(f"bigfusion.extractors.{kind.replace('/', '.')}")
    maker = module.make(module.SETTINGS(level=level, **KINDS[kind](tmp_path)), file_sha256)
    utterances = corpus.kept(load(finished.config)).utterances()[:3]
    counted = cells.description(maker)["code"]
    outcomes = []
    found = ran(lambda: outcomes.extend(maker.extract(utterances)))
    assert {hasattr(outcome, "frames") for outcome in outcomes} == {level == "frame"}
    idle = {name.rpartition(":")[2] for name in maker.spec.idle}  # how a model is fetched or refused
    assert {name for name in found - counted.keys() if not {name, name.partition(".")[0]} & idle} == set()


def test_each_kind_of_extractor_with_frames_is_traced():
    files = {file.relative_to(f"{HERE}extractors") for file in Path(HERE, "extractors").rglob("*_frames.py")}
    assert {str(file).removesuffix("_frames.py") for file in files} == KINDS.keys()


def test_whatever_a_training_runs_counts(tmp_path):
    model, training = small_model(), small_training(epochs=2)
    data = small_data()
    found = ran(lambda: train(data, model, training, 0, tmp_path / "seed-0"))
    assert len(found) > 50
    written = {name for name in found if name.startswith("Events.")} | {"epoch_logs", "scalars"}
    assert len(written) > 4
    written |= {"fitting", "most_speakers", "_speakers", "absent_rows"}
    written |= {f"NetworkSettings.{name}" for name in ("for_classes", "for_speakers", "left_to_corpus")}
    assert found - runs.training_code(model, training).keys() == written, "nor does the choice of a network that counts"


@pytest.mark.parametrize("inside", ["flows/project/assemble.py", "pipeline/store/shards.py"])
def test_whatever_puts_the_data_together_counts(finished, inside):
    """Not how a store finds its shards and a plan its cells: a shard is verified, cells are among a run's inputs."""
    project = load(finished.config)
    manifest = corpus.kept(project)
    planned = cells.plan(project, manifest)
    found = ran(lambda: assemble.assemble(project, manifest, planned), inside)
    named = {"is_shard", "is_sound", "modality_of"}  # of a shard's name, which decode verifies
    assert found
    assert found - runs.training_code(project.model, project.train).keys() - named == set()
