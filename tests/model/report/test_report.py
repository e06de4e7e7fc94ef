"""The page: complete, self-contained, escaped; and its pictures' arithmetic. The table as plain text."""

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.model.data.dialogues import Data
from bigfusion.model.network_settings.bigru import BiGRUSettings
from bigfusion.model.network_settings.logistic import LogisticSettings
from bigfusion.model.report.dialogues import told
from bigfusion.model.report.figures import ink_on, label_colours, nice_ticks, stacked
from bigfusion.model.report.markup import Html, tag
from bigfusion.model.report.material import CurrentModel, Line, ReportContext, gather
from bigfusion.model.report.page import POLICY, write_report
from bigfusion.model.report.table import table
from bigfusion.model.runs.files import read_record
from bigfusion.model.runs.folder import METRICS, seed_folder
from bigfusion.model.scoring.evaluate import evaluate
from bigfusion.model.scoring.modalities import modality_scores
from bigfusion.model.scoring.results import Metrics
from bigfusion.model.training.train import train
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.tables.labels import MELD
from bigfusion.pipeline.words import word_count
from tests.helpers.html_page import Page
from tests.helpers.small_runs import dialogue, small_data, small_model, small_run, small_training

HOSTILE = "<script>alert(\"1\")</script> & 'co'"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_run(tmp_path_factory.mktemp("runs") / "run-7", small_data(), epochs=3, learning_rate=0.05)
    evaluate(folder, small_data())
    return folder


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all of MELD's classes."""
    data = replace(small_data(), labels=MELD)
    folder = small_run(tmp_path_factory.mktemp("runs") / "run-8", data, epochs=1)
    evaluate(folder, data)
    return folder


def context(**changes: object) -> ReportContext:
    known = ReportContext(
        corpus="meld",
        created=datetime(2026, 11, 3, 14, 5, tzinfo=UTC),
        notes=("visual features come from seeded, untrained DenseNet weights",),
        cells={"text": {"ok": 120, "missing_transcript": 2}, "audio": {"ok": 100, "silent": 22}},
        fingerprints={"manifest": "ab" * 32},
        versions={"python": "3.11.2"},
        lines={"test/dia3_utt0": Line("Ross", "Hi.")},
    )
    return replace(known, **changes)


def page_of(run: Path, context: ReportContext) -> tuple[Page, str]:
    html = write_report(run, context).read_text(encoding="utf-8")
    page = Page(html)
    return page, re.sub(r"\s+", " ", " ".join(page.text))


def test_the_page_says_everything(run: Path) -> None:
    metrics = evaluate(run, small_data())
    _, text = page_of(run, context())
    assert metrics.std is not None
    assert metrics.interval is not None
    assert metrics.test_picking is not None
    for expected in (
        "BIG-FUSION on MELD",
        "3 November 2026, 14:05 UTC · run run-7 · text, audio",
        f"{100 * metrics.weighted_f1:.2f} ± {100 * metrics.std.weighted_f1:.2f}",
        f"majority class ({metrics.majority.label})",
        f"would have shown {100 * metrics.test_picking.weighted_f1:.2f}",
        "Classes",
        "Confusion",
        "Emotion shifts",
        "Learning",
        "Firing rates",
        "layer1.query",
        "Dialogues along time",
        "missing transcript",
        "untrained DenseNet weights",
        "ab" * 32,
        "train.learning_rate",
        "python 3.11.2",
        "no label: read, not scored",
        f"95 % over {metrics.interval.dialogues} dialogues",
        f"{100 * metrics.interval.weighted_f1.low:.2f} to {100 * metrics.interval.weighted_f1.high:.2f}",
        "Speakers and lengths",
        "Parameters and fitted numbers of a network",
    ):
        assert expected in text, expected
    assert "Demo" not in text


def test_the_page_needs_nothing_from_elsewhere(run: Path) -> None:
    page, _ = page_of(run, context())
    html = (run / "report.html").read_text(encoding="utf-8")
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.elements)
    assert page.elements.count("script") == 1
    assert ("content", POLICY) in page.attributes
    assert "default-src 'none'" in POLICY
    assert not {"src", "href", "srcset", "data"} & {name for name, _ in page.attributes}
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "://" not in html
    assert "url(" not in html
    assert "@import" not in html
    assert page.elements.count("svg") >= 5


def test_a_demo_says_so_and_is_not_set_beside_the_paper(seven: Path) -> None:
    page, text = page_of(seven, context(demo=True))
    assert "nothing about emotion recognition" in text
    assert ("class", "demo") in page.attributes
    assert "67.17" not in text
    assert "paper" not in text.lower()


def test_the_papers_figures_stand_beside_a_run_on_all_of_its_classes_alone(run: Path, seven: Path) -> None:
    _, all_classes = page_of(seven, context())
    _, three_classes = page_of(run, context())  # MELD's sentiments, or classes that a label_map has merged
    for printed in ("67.17", "68.24", "80.61"):  # of Table 2, Table 4 and the class neutral
        assert printed in all_classes
        assert printed not in three_classes
    assert "paper" not in three_classes.lower()


def test_a_users_corpus_has_no_paper(seven: Path) -> None:
    _, text = page_of(seven, context(corpus="our calls"))
    assert "BIG-FUSION on “our calls”" in text
    assert "paper" not in text.lower()


def test_nothing_from_the_corpus_becomes_markup(tmp_path: Path) -> None:
    labels = ("neutral", "<b>joy</b>", "a&b")
    data = replace(small_data(), labels=labels, test=[dialogue(HOSTILE, 6, 1)])
    run = small_run(tmp_path / "<i>run", data, epochs=1)
    evaluate(run, data)
    hostile = context(
        corpus=HOSTILE,
        notes=(HOSTILE,),
        cells={HOSTILE: {HOSTILE: 1}},
        fingerprints={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        lines={f"{HOSTILE}_utt{turn}": Line(HOSTILE, HOSTILE) for turn in range(6)},
    )
    page, text = page_of(run, hostile)
    assert page.elements.count("script") == 1
    assert page.elements.count("b") == 1  # the one dialogue's own name
    assert text.count("<script>") > 10  # shown, as text
    assert "<b>joy</b>" in text


def test_lines_stand_beside_the_labels(run: Path) -> None:
    names = [name for one in small_data().test for name in one.utterances]
    lines = {name: Line("Ross", f"line of {name}") for name in names[:-1]}
    _, text = page_of(run, context(lines=lines))
    assert "Ross" in text
    assert text.count("line of ") > 10


def test_one_seed_without_spikes_or_test_split(tmp_path: Path) -> None:
    data: Data = small_data(test=0)
    settings = small_model(spiking={"enabled": False})
    train(data, settings, small_training(epochs=1), 0, seed_folder(tmp_path, 0))
    evaluate(tmp_path, data)
    _, text = page_of(tmp_path, context(lines={}, cells={}))
    assert "no labelled test split" in text
    assert "±" not in text
    assert "Firing rates" not in text
    assert "validation split (there is no labelled test split): 3 dialogues" in table(tmp_path)


def test_a_layer_that_never_fires_is_pointed_at(tmp_path: Path) -> None:
    data = small_data()
    settings = small_model(spiking={"threshold": 1000.0})
    train(data, settings, small_training(epochs=1), 0, seed_folder(tmp_path, 0))
    evaluate(tmp_path, data)
    _, text = page_of(tmp_path, context())
    assert "layer1.query hardly ever fires (0.0 %)" in text


@pytest.mark.parametrize("tested", [True, False])
def test_of_a_network_that_is_fitted_at_once_no_epoch_is_said_to_be_chosen_and_nothing_deviates(
    tmp_path: Path, tested: bool
) -> None:
    """Three equal fits read as a measured stability: 64.32 ± 0.00."""
    data, settings = small_data(test=4 if tested else 0), LogisticSettings(modalities=("text", "audio"))
    for seed in (0, 1, 2):
        train(data, settings, small_training(), seed, seed_folder(tmp_path, seed))
    metrics = evaluate(tmp_path, data)
    modalities = modality_scores(tmp_path, data, metrics, "cpu")
    assert metrics.std is metrics.ece_std is metrics.test_picking is modalities.rows[0].mean.std is None
    assert metrics.weighted_f1 == metrics.seeds[2].weighted_f1 and len(metrics.seeds) == 3
    labelled = sum(metrics.splits[metrics.scored].labels.values())
    assert sum(part.count for part in metrics.calibration.bins) == labelled, "each utterance once, not three times"
    _, text = page_of(tmp_path, context(corpus="toy"))
    assert "The network is fitted at once, the same for every seed: no epoch was chosen." in text
    assert "3 seeds, the same fit for each" in text
    assert not re.search(r"checkpoint is the epoch|[Cc]hosen epoch|epoch was chosen too|±|training wanders", text)
    first, *lines = table(tmp_path).splitlines()
    assert first.endswith("; 3 seeds, the same fit for each; points")
    assert next(line for line in lines if line.startswith("weighted F1 ")).split()[3] == "-"
    assert not any("seeds together" in line or "picking" in line for line in lines)


def test_an_unscored_run_is_named(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "seed-0", tmp_path / "seed-0")
    with pytest.raises(TrainingError, match=r"metrics\.json: expected the run's scores, found none; evaluate"):
        write_report(tmp_path, context())
    with pytest.raises(TrainingError, match="evaluate the run first"):
        table(tmp_path)


def test_the_table_is_aligned_and_complete(run: Path) -> None:
    metrics = evaluate(run, small_data())
    lines = table(run).splitlines()
    assert lines[0] == "test split: 4 dialogues, 27 labelled utterances; 2 seeds; points"
    weighted = next(line for line in lines if line.startswith("weighted F1 "))
    assert metrics.std is not None
    assert weighted.split()[2:] == [
        f"{100 * value:.2f}" for value in (metrics.weighted_f1, metrics.std.weighted_f1, metrics.majority.weighted_f1)
    ]
    rows = [line for line in lines if line.split()[:1] in ([label] for label in ("class", *metrics.labels))]
    assert len(rows) == 4
    assert len({len(row) for row in rows}) == 1
    assert lines[-1].endswith("not a result")
    assert any(line.startswith(f"weighted F1 on {metrics.emotion_shift.utterances} emotion shifts ") for line in lines)


def test_no_score_is_printed_of_emotion_shifts_that_are_not_there(run: Path, tmp_path: Path) -> None:
    """A corpus of single utterances has none; the last line was 0.00."""
    known = json.loads((run / METRICS).read_text())
    (tmp_path / METRICS).write_text(json.dumps(known | {"emotion_shift": known["emotion_shift"] | {"utterances": 0}}))
    assert "emotion shift" not in table(tmp_path)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_ticks_are_few_and_span_the_values(low: float, span: float) -> None:
    ticks = nice_ticks(low, low + span)
    assert ticks[0] <= low + 1e-6 * span
    assert ticks[-1] >= low + span - 1e-6 * span
    assert 2 <= len(ticks) <= 9
    steps = [after - before for before, after in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps))


def test_ticks_of_one_value() -> None:
    assert nice_ticks(3, 3, whole=True) == [3, 4]
    assert len(nice_ticks(0.5, 0.5)) >= 2
    for low, high in ((0, 0), (0, 1e-12), (-1e-12, 0)):  # equal rows of a table: every difference is 0
        ticks = nice_ticks(low, high)
        assert len(set(ticks)) == len(ticks) >= 2


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_no_dot_hides_another(places: list[float]) -> None:
    levels = stacked(places, 7)
    for level in set(levels):
        row = sorted(place for place, own in zip(places, levels, strict=True) if own == level)
        assert all(after - before >= 7 for before, after in pairwise(row))


def test_labels_can_be_read_on_their_colours() -> None:
    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    labels = ["neutral", "joy", "hap", "sad", "exc", "fru", "ang", "fear", "disgust", "surprise", "bored", "Calm"]
    colours = label_colours(labels)
    assert colours["hap"] == colours["joy"]
    assert colours["bored"] != colours["Calm"]
    for colour in colours.values():
        paper, ink = sorted([luminance(colour), luminance(ink_on(colour))], reverse=True)
        assert (paper + 0.05) / (ink + 0.05) >= 4.5


def test_markup_is_escaped_unless_it_is_markup() -> None:
    assert tag("p", "a < b", Html("<b>c</b>"), class_='"x"') == '<p class="&quot;x&quot;">a &lt; b<b>c</b></p>'
    assert tag("rect", stroke_width=1.0, x=2.345, y=None) == '<rect stroke-width="1" x="2.35"></rect>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("I am  not -- angry.", 5),
        ("", 0),
        ("我今天真的非常生气因为你没有告诉我这件事情的真相", 24),
        ("嗯，我不知道。", 5),
        ("我要 OK 了！", 4),
        ("ありがとう、トム。", 7),
        ("정말 화가 났어", 3),
    ],
)
def test_a_line_is_counted_in_words_or_where_no_spaces_part_them_in_characters(text: str, length: int) -> None:
    """A Chinese line of 24 characters stood among those of one or two words."""
    assert word_count(text) == length


def test_the_page_says_what_it_counts_a_line_in(run: Path) -> None:
    for text, unspaced in (("Well, no.", False), ("我不知道", True)):
        _, page = page_of(run, context(lines={"test/dia3_utt0": Line("Ross", text)}))
        assert ("counted in characters" in page) is unspaced
        assert ("words or characters" in page) is unspaced


def test_the_page_says_which_losses_and_which_seconds_it_shows(run: Path) -> None:
    """A focal, weighted or smoothed loss was called cross-entropy, and the time that of the epochs alone."""
    _, text = page_of(run, context())
    assert "Cross-entropy" not in text
    assert "the validation loss plain cross-entropy: read each curve by itself" in text
    assert "An epoch's time includes the predictions for validation and test." in text
    assert "epochs alone" not in text


def test_calibration_and_neurons_are_shown(run: Path) -> None:
    metrics = read_record(run / METRICS, Metrics)
    _, text = page_of(run, context())
    assert f"Expected calibration error {100 * metrics.ece:.2f}" in text
    filled = [one for one in metrics.calibration.bins if one.count]
    assert all(f"{one.count} predictions at {100 * one.confidence:.0f} %" in text for one in filled)
    assert "layer1.query" in text
    assert "Saturated" in text


def test_ablations_stand_in_the_page_where_they_were_made(run: Path) -> None:
    _, text = page_of(run, context(ablations=ablations(run)))
    for shown in ("Ablations", "w/o GCL", "-1.23", "-2.00 to +0.40", "68.50", "-4.41"):
        assert shown in text
    assert "other settings" not in text
    assert "Left out" not in text
    idle = {"GCL w/o local": "model.contrast.enabled = false"}
    _, text = page_of(run, context(ablations=ablations(run, left_out=idle)))
    assert "has nothing to take away there: GCL w/o local (model.contrast.enabled = false)." in text
    assert "Ablations" not in page_of(run, context())[1]


def ablations(run: Path, **changes: object) -> dict:
    """Table 4 as `reproduce` makes it on the data and with the settings of a run."""
    score = {"mean": 0.5, "std": 0.01, "values": [0.49, 0.51]}
    complete = {"name": "complete", "accuracy": score, "weighted_f1": score, "paper": {"weighted_f1": 72.91}}
    other = complete | {"name": "w/o GCL", "paper": {"weighted_f1": 68.5}}
    against = {"difference": -0.0123, "low": -0.02, "high": 0.004, "p": 0.2}
    rows = [complete | {"against_complete": None}, other | {"against_complete": against}]
    facts = gather(run, context()).facts
    settings = {"model": facts.model.model_dump(mode="json"), "train": facts.train.model_dump(mode="json")}
    return {"rows": rows, "seeds": [0, 1], "scored": "test", "data": facts.data.digest, **settings} | changes


def test_ablations_on_other_data_are_not_shown(run: Path) -> None:
    for other in ({"data": "ab" * 32}, {"data": None}):
        _, text = page_of(run, context(ablations=ablations(run, **other)))
        assert "Not shown: the ablations were made on other data than this run was trained on" in text
        assert "w/o GCL" not in text


def test_ablations_of_a_single_dialogue_have_no_interval(run: Path) -> None:
    known = ablations(run, seeds=[0], few="one dialogue cannot be drawn again")
    known["rows"][1]["against_complete"] |= dict.fromkeys(("low", "high", "p"))
    _, text = page_of(run, context(ablations=known))
    assert "-1.23 – 68.50" in text and "But one dialogue cannot be drawn again." in text


def test_ablations_of_other_settings_say_which(run: Path) -> None:
    known = ablations(run)
    changed = {"train": known["train"] | {"epochs": 99, "threads": 7}, "model": known["model"] | {"width": 64}}
    _, text = page_of(run, context(ablations=known | changed))
    assert "Made with other settings than this run's: model.width, train.epochs." in text
    assert "w/o GCL" in text
    del known["model"]  # as it was written before the settings of the network were in it
    assert "other settings" not in page_of(run, context(ablations=known))[1]


def test_every_dialogue_stands_in_the_page_the_worst_first(run: Path) -> None:
    page, _ = page_of(run, context())
    metrics = read_record(run / METRICS, Metrics)
    material = gather(run, context())
    every = told(material)
    assert len(every) == metrics.splits[metrics.scored].dialogues == page.elements.count("details")
    assert [one.accuracy for one in every] == sorted(one.accuracy for one in every)
    rows = material.predictions[material.predictions["split"] == "test"]
    first = every[0].turns[0]
    own = rows[rows["utterance"] == first.utterance][[f"p_{label}" for label in metrics.labels]].to_numpy()
    assert len(own) == len(metrics.seeds)
    assert first.guess == metrics.labels[own.mean(0).argmax()]
    assert first.probability == pytest.approx(own.mean(0).max())


def test_the_settings_that_differ_from_the_current_model_are_listed(run: Path) -> None:
    facts = gather(run, context()).facts
    own = {"model": facts.model.model_dump(mode="json"), "train": facts.train.model_dump(mode="json")}
    _, same = page_of(run, context(current=CurrentModel("abc", own, own)))
    assert "Against the current model, run abc The settings of network and training are the same." in same
    settings = own | {"train": own["train"] | {"learning_rate": 0.5}}
    _, other = page_of(run, context(current=CurrentModel("abc", settings, own)))
    assert "train.learning_rate 0.5 0.05" in other


def test_what_each_modality_is_worth_is_shown_where_it_was_asked(run: Path, tmp_path: Path) -> None:
    assert "Modalities" not in page_of(run, context())[1]
    shutil.copytree(run, tmp_path / "run")
    metrics = read_record(run / METRICS, Metrics)
    found = modality_scores(tmp_path / "run", small_data(), metrics)
    assert [row.modalities for row in found.rows] == [("text", "audio"), ("audio",), ("text",)]
    assert found.rows[0].mean.weighted_f1 == pytest.approx(metrics.weighted_f1)
    _, text = page_of(tmp_path / "run", context())
    assert f"{100 * (found.rows[1].mean.weighted_f1 - metrics.weighted_f1):+.2f}" in text


def test_the_report_of_another_network_names_it_and_claims_no_figure_of_bigfusion(tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = BiGRUSettings(modalities=("text", "audio"), width=8, layers=1)
    data = replace(small_data(), labels=MELD)
    train(data, settings, small_training(epochs=1), 0, seed_folder(run, 0))
    evaluate(run, data)
    _, text = page_of(run, context())
    assert "biGRU on MELD" in text
    assert "BIG-FUSION" not in text
    assert "67.17" not in text
    assert "68.24" not in text
