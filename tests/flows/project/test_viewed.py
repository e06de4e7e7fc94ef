"""A project with several visual features: their cells are computed in one look at the media."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bigfusion.extractors.visual import viewing
from bigfusion.extractors.visual.image_encoder import ImageEncoderExtractor
from bigfusion.extractors.visual.speaker_face import VisualExtractor
from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.computing import compute
from bigfusion.flows.project.load import load_project
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.viewed import _shares
from bigfusion.flows.stages.partition import in_parts
from bigfusion.pipeline.errors import ExtractionError, ItemError
from bigfusion.pipeline.schema import FeatureName
from tests.helpers.clip_maker import write_clip
from tests.helpers.pictures import blank, collins, hopper, pasted
from tests.helpers.tiny_images import saved

CONFIG = """
[corpus]
kind = "table"
path = "utterances.csv"

[visual]
device = "cpu"

[visual.vit]
kind = "image_encoder"
model = "FOLDER/vit"
device = "cpu"

[visual.whole]
kind = "image_encoder"
model = "FOLDER/vit"
on = "frame"
frames_per_second = 2
device = "cpu"

[model]
modalities = ["visual"]
"""
FACE, CROP, WHOLE = FeatureName("visual"), FeatureName("visual.vit"), FeatureName("visual.whole")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips; the third shows nobody, and the last is the first again."""
    folder = tmp_path_factory.mktemp("project")
    saved(folder / "vit", "vit")
    lines = ["dialogue,turn,speaker,text,label,split,media"]
    for number in range(5):
        portrait = (collins, hopper)[number % 2]()[:512, :512]
        film = [
            pasted(blank(240, 320), portrait, 20 + 2 * frame + number, 10, 200) if number != 2 else blank(240, 320)
            for frame in range(6)
        ]
        write_clip(folder / f"{number}.mp4", film, fps=10)
    for number, media in enumerate([0, 1, 2, 3, 4, 0]):
        split = ("train", "valid", "test")[number % 3]
        lines.append(f"{split}{number},0,A,Number {number}.,{('joy', 'anger')[number % 2]},{split},{media}.mp4")
    (folder / "utterances.csv").write_text("\n".join(lines) + "\n")
    (folder / "bigfusion.toml").write_text(CONFIG.replace("FOLDER", str(folder)))
    return folder


def project_of(folder: Path, workspace: Path, *assignments: str) -> Project:
    return load_project(folder / "bigfusion.toml", assignments=[f"workspace.path={workspace}", *assignments])


def computed(project: Project) -> dict[str, int]:
    return compute(project, cells.plan(project, corpus.ingest(project).manifest), "test")


def vectors(project: Project, feature: FeatureName) -> np.ndarray:
    planned = cells.plan(project, corpus.kept(project))
    with project.files.store() as store:
        return store.read(feature.modality, planned.fingerprints(feature)).values


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[float]:
    """How often clips were read, by frames a second."""
    found, read = Counter[float](), viewing.read_frames

    def counted(span, rate, *more):
        found[rate] += 1
        return read(span, rate, *more)

    monkeypatch.setattr(viewing, "read_frames", counted)
    return found


def test_features_of_equal_sampling_stand_together(folder: Path, tmp_path: Path) -> None:
    project = project_of(folder, tmp_path)
    planned = cells.plan(project, corpus.ingest(project).manifest)
    assert cells.joined(project, planned) == [(FACE, CROP), (WHOLE,)]
    parts = list(cells.chunks([*planned.pending(FACE), *planned.pending(CROP)], 4))
    names = [[cell.utterance for cell in part if cell.feature == FACE] for part in parts]
    assert names == [[cell.utterance for cell in part if cell.feature == CROP] for part in parts]
    assert [len(part) for part in parts] == [6, 4, 2]  # the first clip's two utterances stay together


@pytest.mark.slow
def test_a_clip_is_read_once_for_both_and_the_numbers_are_those_of_each_alone(folder, tmp_path, reads) -> None:
    both = project_of(folder, tmp_path / "both", 'model.features=["densenet", "vit", "whole"]')
    assert computed(both) == {"visual": 6, "visual.vit": 6, "visual.whole": 6}
    assert reads == {5.0: 5, 2.0: 5}
    for name, feature in (("densenet", FACE), ("vit", CROP), ("whole", WHOLE)):
        alone = project_of(folder, tmp_path / name, f'model.features=["{name}"]')
        assert computed(alone) == {str(feature): 6}
        np.testing.assert_array_equal(vectors(both, feature), vectors(alone, feature))
    assert computed(both) == {}


@pytest.mark.slow
def test_an_encoder_that_is_added_later_is_computed_alone(folder, tmp_path, reads) -> None:
    assert computed(project_of(folder, tmp_path, 'model.features=["densenet"]')) == {"visual": 6}
    assert computed(project_of(folder, tmp_path, 'model.features=["densenet", "vit"]')) == {"visual.vit": 6}
    assert reads == {5.0: 10}


def test_a_chunk_gives_a_result_for_each_feature(folder: Path, tmp_path: Path) -> None:
    project = project_of(folder, tmp_path)
    planned = cells.plan(project, corpus.ingest(project).manifest)
    pending = [*planned.pending(FACE), *planned.pending(CROP)[:4]]
    done: list[int] = []
    first, second = cells.extract_chunk(project, planned.manifest, pending, "run", done.append)
    assert (first.feature, first.statuses) == ("visual", {"ok": 5, "no_face": 1})
    assert (second.feature, second.statuses) == ("visual.vit", {"ok": 3, "no_face": 1})
    assert sum(done) == 10
    assert first.seconds > 0
    assert second.seconds > 0
    again = cells.extract_chunk(project, planned.manifest, pending, "run")
    assert [(one.statuses, one.left) for one in again] == [({}, ())] * 2


def test_a_worker_s_part_holds_both_features_of_an_utterance_whatever_is_pending(folder, tmp_path) -> None:
    project = project_of(folder, tmp_path)
    manifest = corpus.ingest(project).manifest
    planned = cells.plan(project, manifest)
    parts = in_parts(planned, [FACE, CROP], 3)
    where = {cell.utterance: number for number, part in parts.items() for cell in part}
    assert sum(map(len, parts.values())) == 12
    for number, part in parts.items():
        assert {where[cell.utterance] for cell in part} == {number}
    cells.extract_chunk(project, manifest, planned.pending(FACE)[:3], "run")
    later = in_parts(cells.plan(project, manifest), [FACE, CROP], 3)
    assert {cell.utterance: number for number, part in later.items() for cell in part} == where


def test_seconds_are_divided_by_what_each_took_alone() -> None:
    """Ten seconds of two threads: 12 and 4 alone leave 4 that are shared, 2 for each; so 14 and 6 of 20."""
    assert _shares({FACE: 12.0, CROP: 4.0}, 10.0, 2) == {FACE: 7.0, CROP: 3.0}


@pytest.mark.slow
def test_what_cannot_be_computed_together_is_computed_alone(folder, tmp_path, monkeypatch) -> None:
    """The flow: one encoder gives up, and the cells of the other are stored."""
    from bigfusion.extractors.visual.image_encoder import _Encoder
    from bigfusion.flows.stages.extract import extract

    def fail(*_: object) -> None:
        raise ExtractionError("the GPU is away")

    monkeypatch.setattr(_Encoder, "encode", fail)
    project = project_of(folder, tmp_path, 'model.features=["densenet", "vit"]')
    corpus.ingest(project)
    with pytest.raises(ExtractionError, match="the GPU is away"):
        extract(project)
    planned = cells.plan(project, corpus.kept(project))
    assert [len(planned.pending(feature)) for feature in (FACE, CROP)] == [0, 6]
    monkeypatch.undo()
    assert extract(project) == {"visual.vit": {"ok": 5, "no_face": 1}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lasting", "said"),
    [
        (ExtractionError("the GPU is away"), "1 chunk failed and 1 single cell, 2 stored; .* the GPU is away"),
        (ItemError("no such number"), "1 chunk failed and 3 single cells, 2 stored; .* not one cell of a chunk; "),
    ],
)
def test_what_was_tried_together_is_not_tried_again_alone(folder, tmp_path, monkeypatch, lasting, said) -> None:
    """Of two chunks, one cell fails in the first, and the encoder in the second. All figures count each cell once."""
    from bigfusion.flows.stages.extract import extract

    project = project_of(folder, tmp_path, 'model.features=["densenet", "vit"]', "extract.chunk_size=6")
    manifest = corpus.ingest(project).manifest
    cells.extract_chunk(project, manifest, cells.plan(project, manifest).pending(FACE), "run")
    feature, no_face, sought = ImageEncoderExtractor.feature, VisualExtractor.no_face, list[str]()

    def fails(extractor, span, *more):
        if span.path.name == "1.mp4":
            raise ItemError("the disk is away")
        if span.path.name in ("3.mp4", "4.mp4"):
            raise lasting
        return feature(extractor, span, *more)

    def counted(extractor, span, *more):
        sought.append(span.path.name)
        return no_face(extractor, span, *more)

    monkeypatch.setattr(ImageEncoderExtractor, "feature", fails)
    monkeypatch.setattr(VisualExtractor, "no_face", counted)
    with pytest.raises(ExtractionError, match=said):
        extract(project, retry_failed=True)
    assert sought == ["2.mp4"]
