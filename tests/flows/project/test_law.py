"""The law of fingerprints: what each kind of change to the code makes stale, on a small finished project.

The changes are made to a copy of the whole code, and the project's own planning is asked under it.
"""

import ast
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from bigfusion.flows.project import cells, corpus, runs
from bigfusion.flows.project.load import load
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.runs.files import write_record
from bigfusion.model.scoring.modalities import MODALITIES, ModalityScores, metrics_digest, read_modality_scores
from bigfusion.model.scoring.results import read_metrics
from bigfusion.model.settings import network_settings
from bigfusion.pipeline.digests import code, sources
from bigfusion.pipeline.digests.definitions import Module, take_apart
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.schema import Modality
from tests.helpers.edited_project import Edit, EditedProject

TEXT, AUDIO, VISUAL = Modality.TEXT, Modality.AUDIO, Modality.VISUAL


class Stale(NamedTuple):
    """What would have to be done again: cells by modality, the training, the evaluation."""

    cells: frozenset[Modality] = frozenset()
    training: bool = False
    evaluation: bool = False


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> EditedProject:
    return EditedProject.copied(tmp_path_factory.mktemp("code"))


@pytest.fixture
def edited(copy: EditedProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EditedProject]:
    """A copy of the code, which is what counts as the code from here on. After the test it is as before."""
    monkeypatch.setattr(code, "sources", lambda: sources.Sources(copy.root, tmp_path / "memory"))
    monkeypatch.setattr(sources, "take_apart", take_apart_once)
    yield copy
    copy.undo()


@cache
def _take_apart(source: bytes, package: tuple[str, ...], module: str) -> Module:
    return take_apart(source, package, module)


def take_apart_once(source: bytes, package: Sequence[str], module: str) -> Module:
    """Most files are the same in all copies. They are read each time, and split into definitions once."""
    return _take_apart(source, tuple(package), module)


def stale(place) -> Stale:
    project = load(place.config)
    planned = cells.plan(project, corpus.kept(project))
    pending = frozenset(modality for modality in planned.features if planned.pending(modality))
    run = runs.run_of(project, planned.manifest, planned)
    if pending:  # the run is another in any case: the same cells as before, so that the code alone tells
        (done,) = runs.runs(project)
        inputs = run.inputs | {"cells": done["inputs"]["cells"]}
        run = replace(run, inputs=inputs, folder=run.folder.with_name(digest(inputs)[:16]))
    return Stale(pending, not run.trained, not run.trained or not run.evaluated)


Rewording = tuple[type[ast.AST], Callable[[ast.AST], ast.AST]]
"""What becomes of every node of a kind."""


def every(*rewordings: Rewording) -> Edit:
    """Change every node of some kinds in the whole project."""

    class Change(ast.NodeTransformer):
        def generic_visit(self, node: ast.AST) -> ast.AST:
            super().generic_visit(node)
            for kind, change in rewordings:
                node = change(node) if isinstance(node, kind) else node
            return node

    def edit(project: EditedProject) -> None:
        assert project.rewrite(Change().visit) > 10

    return edit


def reworded(node: ast.AST) -> ast.AST:
    """Other words in all strings below a node that stand directly in a call's arguments."""
    for call in [part for part in ast.walk(node) if isinstance(part, ast.Call)][:1]:
        call.args = [
            ast.Constant("something else") if isinstance(part, ast.Constant) and isinstance(part.value, str)
            else ast.JoinedStr([ast.Constant("other words")]) if isinstance(part, ast.JoinedStr) else part
            for part in call.args
        ]  # fmt: skip
    return node


def reworded_log(node: ast.Expr) -> ast.AST:
    call = node.value
    logs = isinstance(call, ast.Call) and ast.unparse(call.func).startswith("log.")
    return ast.Expr(ast.parse("log.error('quite another line')", mode="eval").body) if logs else node


def other_docstring(node: ast.AST) -> ast.AST:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
        node.body[0] = ast.Expr(ast.Constant("Something else."))
    return node


def or_none(node: ast.AST) -> ast.AST:
    for name in ("annotation", "returns"):
        annotation = getattr(node, name, None)
        if annotation is not None and "ClassVar" not in ast.unparse(annotation):
            setattr(node, name, ast.BinOp(annotation, ast.BitOr(), ast.Constant(None)))
    return node


def moved(*pairs: tuple[str, str]) -> Edit:
    def edit(project: EditedProject) -> None:
        for old, new in pairs:
            project.move(old, new)

    return edit


def change(name: str, inside: str = "") -> Edit:
    return lambda project: project.change(name, inside)


NEW_SECTION = "\n\ndef _new_section(material):\n    return str(material)\n"
REWORDED: dict[str, Rewording] = {
    "every message": (ast.Raise, reworded),
    "every log line": (ast.Expr, reworded_log),
    "comments, docstrings and layout": (ast.AST, other_docstring),
    "annotations everywhere": (ast.AST, or_none),
}
NOTHING: dict[str, Edit] = {
    "a new exception": lambda project: project.add(
        "pipeline/errors.py", "\n\nclass OtherError(MediaError):\n    '''Other.'''\n    status = 3\n"
    ),
    "a new network": lambda project: project.add("model/networks/other.py", "class Other:\n    width = 3\n"),
    "a new contrast": lambda project: project.add("model/contrast/other.py", "def views(nodes):\n    return nodes\n"),
    "a new metric": lambda project: project.add(
        "model/scoring/metrics.py", "\n\ndef kappa(matrix):\n    return matrix.trace()\n"
    ),
    "a new command": lambda project: project.add("flows/commands/other.py", "def other(options):\n    return 1\n"),
    "a new section of the report, not shown yet": lambda project: project.add("model/report/sections.py", NEW_SECTION),
    "a command": change("run", "/commands/evaluate_faces"),
    "upkeep of the store": change("Store.small"),
    "moved files": moved(
        ("pipeline.errors", "pipeline.wrong.errors"),
        ("extractors.compute", "extractors.machine.computing"),
        ("extractors.visual.tracking", "extractors.visual.followed"),
        ("pipeline.schema", "pipeline.shapes"),
        ("model.layers.graph", "model.relations"),
        ("model.training.optimise", "model.optimising"),
        ("model.scoring.calibration", "model.scoring.reliability"),
    ),
    "other words": every(*REWORDED.values()),
}  # fmt: skip


def test_no_change_makes_nothing_stale(finished, edited):
    assert stale(finished) == Stale()


def test_what_changes_no_number_makes_nothing_stale(finished, edited):
    """All kinds at once: what one of them made stale would be stale here."""
    for edit in NOTHING.values():
        edit(edited)
    assert stale(finished) == Stale()


TRAINING = Stale(training=True, evaluation=True)
EVALUATION = Stale(evaluation=True)
EXACTLY: dict[str, tuple[Edit, Stale]] = {
    "the frame reader": (change("read_frames"), Stale(frozenset({VISUAL}))),
    "the audio decoder": (change("read_audio"), Stale(frozenset({AUDIO}))),
    "what opens a media file": (change("opened"), Stale(frozenset({AUDIO, VISUAL}))),
    "the face detector": (change("CenterFace.detect"), Stale(frozenset({VISUAL}))),
    "passages of text": (change("readings"), Stale(frozenset({TEXT}))),
    "threads side by side": (change("side_by_side"), Stale(frozenset({TEXT, AUDIO, VISUAL}))),
    "the training loop": (change("_Trainer.epoch"), TRAINING),
    "the optimiser's step": (change("Optimisation._step"), TRAINING),
    "a layer, three imports away": (change("DualAttention.forward"), TRAINING),
    "what reads a shard": (change("decode", "/store/shards"), TRAINING),
    "how data are put together": (change("assemble", "/project/"), TRAINING),
    "the score that chooses the checkpoint": (change("weighted_f1", "/scoring/"), TRAINING),
    "a metric": (
        lambda project: project.replace("model/scoring/metrics.py", "f1[occurs].mean()", "f1[occurs].max()"),
        EVALUATION,
    ),
    "calibration": (change("calibration", "/scoring/"), EVALUATION),
    "emotion shifts": (change("emotion_shifts"), EVALUATION),
    "a new section in the report": (
        lambda project: (project.add("model/report/sections.py", NEW_SECTION), project.change("write_report")),
        EVALUATION,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "expected"), EXACTLY.values(), ids=EXACTLY.keys())
def test_a_change_makes_exactly_that_stale_which_it_reaches(finished, edited, edit, expected):
    edit(edited)
    assert stale(finished) == expected


def test_a_metric_of_numbers_scores_regressions_again_and_nothing_else(finished, edited, tmp_path):
    (tmp_path / "work/run").mkdir(parents=True)
    run = runs.Run(tmp_path / "work/run", {}, (0,))
    (run.folder / "metrics.json").write_text('{"task": "regression", "seeds": [{"seed": 0}]}')
    for name in ("predictions.parquet", "report.html"):
        (run.folder / name).touch()
    for metric in ("_concordance", "_rounded", "number_scores", "evaluate_numbers"):
        run.mark_evaluated()
        assert run.evaluated
        edited.change(metric)
        assert run.why_evaluate == "not scored by the present code yet", metric
    assert stale(finished) == Stale()


def test_what_scores_without_modalities_makes_its_own_scores_stale_and_no_others(finished, edited, tmp_path):
    (run,) = runs.runs(load(finished.config))
    metrics = read_metrics(Path(run["folder"]))
    for name in ("only", "subsets", "_rows"):
        known = ModalityScores(metrics=metrics_digest(metrics), scored="test", seeds=(0,), rows=())
        write_record(tmp_path / MODALITIES, known)
        assert read_modality_scores(tmp_path, metrics) == known
        edited.change(name, "/scoring/modalities")
        assert read_modality_scores(tmp_path, metrics) is None, name
    assert stale(finished) == Stale()


def test_a_changed_network_makes_its_own_runs_stale_and_no_others(finished, edited):
    """The finished run is of ``bigfusion``."""
    methods = {"bigru": ("BiGRU.forward", Stale()), "bigfusion": ("BigFusion.forward", TRAINING)}
    training = load(finished.config).train
    known = {kind: runs.training_code(settings_of(kind), training) for kind in methods}
    for kind, (method, expected) in methods.items():
        edited.change(method)
        now = {other: runs.training_code(settings_of(other), training) for other in methods}
        assert {other for other in methods if now[other] != known[other]} == {kind}
        assert stale(finished) == expected
        known = now


def settings_of(kind: str) -> NetworkSettings:
    """A network's settings, whatever they are called where there are several."""
    return network_settings({"kind": kind})


@pytest.mark.slow
def test_a_changed_audio_decoder_extracts_sound_alone_and_is_named(place, edited):
    edited.change("read_audio")
    place.capsys.readouterr()
    before = place.shards()
    assert place.run("plan") == 2
    assert "audio: code changed: read_audio (" in place.capsys.readouterr().out
    assert place.run("extract") == 0
    assert {name.split("-")[0] for name in place.shards().keys() - before.keys()} == {"audio"}
    place.capsys.readouterr()
    assert place.run("plan", "--json") == 2, "the run is trained on other cells now"
    assert json.loads(place.capsys.readouterr().out)["pending_cells"] == 0


@pytest.mark.slow
def test_a_changed_metric_scores_again_and_trains_nothing(place, edited):
    edited.change("calibration", "/scoring/")
    trained = {path: path.stat().st_mtime_ns for path in (place.folder / "work/runs").rglob("seed-*/*")}
    scored = {path: path.stat().st_mtime_ns for path in (place.folder / "work/runs").rglob("metrics.json")}
    before = place.shards()
    assert place.run("run") == 0
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    assert all(path.stat().st_mtime_ns > then for path, then in scored.items())
    assert place.shards() == before
    assert stale(place) == Stale()


@pytest.mark.slow
def test_new_settings_with_defaults_and_a_moved_extractor_make_nothing_stale_in_a_new_process(place, tmp_path):
    edited = EditedProject.copied(tmp_path / "code")
    for inside, name in (
        ("extractors/audio/opensmile.py", "class AudioSettings(Settings):"),
        ("extractors/visual/speaker_face.py", "class VisualSettings(Settings):"),
        ("extractors/text/encoder.py", "class TextSettings(Settings):"),
        ("model/network_settings/bigfusion.py", "class GraphSettings(Settings):"),
        ("model/settings.py", "class TrainSettings(Settings):"),
    ):
        edited.replace(inside, name, f"{name}\n    quite_new: int = 3\n")
    edited.move("extractors.audio.opensmile", "extractors.audio.functionals")
    edited.move("model.training.train", "model.training.loop")
    assert edited.command("plan", "--config", str(place.config))["pending"] == 0


def test_changed_defaults_make_stale_what_they_are_of_in_a_new_process(place, tmp_path):
    edited = EditedProject.copied(tmp_path / "code")
    edited.replace("extractors/audio/opensmile.py", "default=1e-4", "default=1e-5")
    found = edited.command("plan", "--config", str(place.config), code=2)
    assert [reason.split(" (")[0] for reason in found["reasons"]] == ["audio: setting silence_rms default -> 1e-05"]
    edited.replace("extractors/audio/opensmile.py", "default=1e-5", "default=1e-4")
    edited.replace(
        "model/contrast_settings/dual_importance.py", "eta: float = Field(default=0.5", "eta: float = Field(default=0.6"
    )
    found = edited.command("plan", "--config", str(place.config), code=2)
    assert found["pending_cells"] == 0
    assert found["stages"]["train"]["why"].endswith("model contrast.eta default -> 0.6")
