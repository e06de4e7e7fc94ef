"""Several extractors a modality: what the tables mean, which features a training reads, and that stores stay valid."""

from pathlib import Path

import pytest

from bigfusion.extractors.audio.opensmile import AudioSettings
from bigfusion.flows.project import cells
from bigfusion.flows.project.features import declared, features, make, settings_of, without
from bigfusion.flows.project.load import load
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.schema import FeatureName, Modality

SEVERAL = """
[corpus]
kind = "table"
path = "utterances.csv"

[audio]
silence_rms = 0.001

[audio.opensmile]
feature_set = "IS13"

[audio.small]
kind = "opensmile"
feature_set = "eGeMAPSv02"
"""


def project(folder: Path, *assignments: str, text: str = SEVERAL) -> Project:
    (folder / "bigfusion.toml").write_text(text)
    return load(folder / "bigfusion.toml", assignments=assignments)


def test_each_table_is_a_feature_and_all_are_read_by_default(tmp_path):
    loaded = project(tmp_path)
    assert features(loaded) == declared(loaded) == ("text", "audio", "audio.small", "visual")
    assert [name.modality for name in features(loaded)] == ["text", "audio", "audio", "visual"]
    assert [name.name for name in features(loaded)] == ["roberta", "opensmile", "small", "densenet"]


def test_the_first_extractors_name_is_its_modalitys_own_table(tmp_path):
    loaded = project(tmp_path)
    first = settings_of(loaded, FeatureName("audio"))
    assert type(first) is AudioSettings
    assert first.numbers() == {"feature_set": "IS13", "silence_rms": 0.001}
    assert settings_of(loaded, FeatureName("audio.small")).numbers() == {"feature_set": "eGeMAPSv02"}


def test_an_old_settings_file_means_what_it_meant(tmp_path):
    old = '[corpus]\nkind = "table"\npath = "u.csv"\n[audio]\nfeature_set = "IS13"\n'
    loaded = project(tmp_path, text=old + '[model]\nmodalities = ["text", "audio"]\n')
    assert features(loaded) == ("text", "audio")
    assert loaded.audio.feature_set == "IS13"


def test_features_and_modalities_choose_together(tmp_path):
    names = 'model.features=["small", "roberta", "opensmile"]'
    assert features(project(tmp_path, names)) == ("text", "audio.small", "audio"), (
        "in a modality the order is the user's"
    )
    assert features(project(tmp_path, names, 'model.modalities=["audio"]')) == ("audio.small", "audio")
    assert features(project(tmp_path, 'model.features=["audio.small"]')) == ("audio.small",)
    with pytest.raises(SettingsError, match=r"model\.features: expected at least one of visual"):
        features(project(tmp_path, names, 'model.modalities=["visual"]'))


def test_settings_go_through_json_and_back(tmp_path):
    loaded = project(tmp_path, 'model.features=["small"]')
    again = Project.model_validate(loaded.model_dump(mode="json"))
    assert again == loaded
    assert features(again) == ("audio.small",)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ('audio.feature_sett="IS13"', r"unknown key audio\.feature_sett; .* did you mean 'audio\.feature_set'"),
        ("audio.small.foo=1", r"unknown key audio\.small\.foo \(audio\.small\.kind = 'opensmile'\)"),
        ('audio.nope.model="x"', r"audio\.nope: expected a kind among opensmile.*, found 'nope'"),
        ('audio."a b".kind="opensmile"', r"expected names of letters, digits, - and _ for extractors, found"),
    ],
)
def test_a_table_that_is_wrong(tmp_path, assignment, said):
    with pytest.raises(SettingsError, match=said):
        project(tmp_path, assignment)


def test_a_name_that_no_table_has(tmp_path):
    """Whatever encoder reads the text, its feature is called text: roberta is what the first one was once."""
    said = r"expected names among text, audio, audio\.small, visual, found 'smal'; did you mean 'small'"
    with pytest.raises(SettingsError, match=said):
        features(project(tmp_path, 'model.features=["smal"]'))


def test_the_remedy_without_a_feature_names_the_project_s_own_and_can_be_taken(tmp_path):
    loaded = project(tmp_path)
    remedy = without(features(loaded), [FeatureName("visual")])
    assert remedy == 'model.features=["text", "audio", "audio.small"]'
    assert features(project(tmp_path, remedy)) == ("text", "audio", "audio.small")
    alike = project(tmp_path, 'text.small.kind="transformer"', 'text.small.model="m"')
    remedy = without(features(alike), [FeatureName("visual")])
    again = project(tmp_path, 'text.small.kind="transformer"', 'text.small.model="m"', remedy)
    assert features(again) == ("text", "text.small", "audio", "audio.small"), "two tables of one name"


def test_todays_cells_keep_their_fingerprints(tmp_path):
    """All of a description but the code's digests, which follow the code. Of the code: the two declarations for the
    settings, at the end of each extractor's file, do not count.
    """
    loaded = project(tmp_path, text='[corpus]\nkind = "table"\npath = "u.csv"\n')
    description = cells.description(make(loaded, FeatureName("audio")))
    assert description["settings"] == {}
    assert not {"SETTINGS", "make"} & description["code"].keys()
    fixed = description | {"engine": {"opensmile": "2.6.0"}, "code": {}}
    assert digest(fixed) == "4dc5b69b7c911c58e3d8bef10140c3f01eb466332f00902cbcd69c5ee19c053b"
    for modality in Modality:
        first = settings_of(loaded, FeatureName(modality))
        assert first.numbers() == {}, "no default has moved, and `kind` is no number"


def test_features_from_a_file_have_no_frames(tmp_path):
    text = '[corpus]\nkind = "features"\npath = "mine.parquet"\n\n[audio]\nlevel = "frame"\n'
    with pytest.raises(
        SettingsError, match=r"^audio\.level: expected 'utterance', for features from a file have no frames"
    ):
        make(project(tmp_path, text=text), FeatureName("audio"))
