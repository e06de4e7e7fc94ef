"""A search's journal: its budget, what it resumes, and who shares it. The score is a formula, so nothing is trained."""

import multiprocessing
import os
import traceback
from pathlib import Path

import pytest

from bigfusion.model.spaces import Choice, Range
from bigfusion.model.tuning.search import Search, best, fits
from bigfusion.pipeline.errors import SettingsError, TrainingError

pytest.importorskip("optuna")

SPACE = {
    "train.learning_rate": Range(1e-4, 1e-2, log=True),
    "train.epochs": Range(2, 9),
    "model.width": Choice((8, 16)),
}
START = {"train.learning_rate": 1e-3, "train.epochs": 5, "model.width": 12}


def search(folder: Path, **facts) -> Search:
    return Search(folder, "bigru", SPACE, START, {"data": "d", **facts})


def score(settings) -> list[float]:
    """Best at 9 epochs and width 16; the learning rate does not matter."""
    return [settings["train.epochs"] / 10 + settings["model.width"] / 1000] * 2


def test_the_first_trial_starts_from_the_settings_that_there_are(tmp_path):
    (first,) = search(tmp_path).run(1, score)
    assert first.settings["train.epochs"] == 5 and first.settings["train.learning_rate"] == 1e-3
    assert first.settings["model.width"] in (8, 16), "12 cannot be searched, so it is drawn"
    assert first.score == pytest.approx(sum(score(first.settings)) / 2)


def test_all_trials_lie_in_the_space_and_the_best_is_found(tmp_path):
    tried = search(tmp_path).run(14, score)
    assert [one.number for one in tried] == list(range(14))
    for one in tried:
        assert all(fits(SPACE[key], value) for key, value in one.settings.items())
        assert isinstance(one.settings["train.epochs"], int)
    found = best(tried)
    assert found is not None and found.score == max(one.score for one in tried) > 0.8
    importance = search(tmp_path).importance()
    assert max(importance, key=importance.__getitem__) == "train.epochs"
    assert sum(importance.values()) == pytest.approx(1)


def test_a_budget_counts_the_trials_of_all_calls(tmp_path):
    asked = []

    def counted(settings):
        asked.append(settings)
        return score(settings)

    assert len(search(tmp_path).run(3, counted)) == len(asked) == 3
    assert len(search(tmp_path).run(5, counted)) == len(asked) == 5
    assert len(search(tmp_path).run(4, counted)) == len(asked) == 5, "nothing is left to try"


def test_equal_searches_try_equal_settings(tmp_path):
    one, two = (search(tmp_path / name).run(4, score) for name in ("a", "b"))
    assert one == two


def test_what_cannot_be_trained_is_a_trial_with_its_reason(tmp_path):
    def diverges(settings):
        if settings["model.width"] == 16:
            raise TrainingError("seed 0, epoch 1: expected a finite loss, found nan")
        return score(settings)

    tried = search(tmp_path).run(8, diverges)
    failed = [one for one in tried if one.score is None]
    assert len(tried) == 8 and 0 < len(failed) < 8
    assert all("finite loss" in one.why and one.settings["model.width"] == 16 for one in failed)
    assert best(tried).settings["model.width"] == 8
    assert best(failed) is None


def test_a_journal_is_of_one_search(tmp_path):
    search(tmp_path).run(1, score)
    with pytest.raises(SettingsError, match=r"bigru\.journal: expected .*, found one with other data"):
        search(tmp_path, data="other").run(2, score)


def test_scores_of_other_code_do_not_compete(tmp_path, caplog):
    search(tmp_path, code={"train": "1"}).run(1, score)
    search(tmp_path, code={"train": "1"}).run(2, score)
    with pytest.raises(SettingsError, match=r"bigru\.journal: expected .*, found one with other code"):
        search(tmp_path, code={"train": "2"}).run(3, score)
    assert caplog.text == ""


def test_a_journal_of_an_earlier_version_goes_on_with_a_warning(tmp_path, caplog):
    """It does not tell the code of its trials. What it tells must agree all the same."""
    search(tmp_path).run(1, score)
    with pytest.raises(SettingsError, match="found one with other data;"):
        search(tmp_path, data="other", code={"train": "1"}).run(2, score)
    assert len(search(tmp_path, code={"train": "1"}).run(2, score)) == 2
    assert "bigru.journal does not tell the code of its earlier trials" in caplog.text


def test_a_killed_trial_is_taken_up_by_the_next_process(tmp_path):
    def killed(settings):
        (tmp_path / "settings").write_text(str(sorted(settings.items())))
        os._exit(9)

    process = multiprocessing.get_context("fork").Process(target=search(tmp_path).run, args=(3, killed))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    asked = []
    tried = search(tmp_path).run(3, lambda settings: asked.append(sorted(settings.items())) or score(settings))
    assert len(tried) == len(asked) == 3
    assert str(asked[0]) == (tmp_path / "settings").read_text(), "the same settings: their finished folds are kept"


def _shared(folder: Path, number: int) -> None:
    def noted(settings):
        with (folder / f"asked-{number}").open("a") as file:
            file.write(f"{sorted(settings.items())}\n")
        return score(settings)

    try:
        search(folder).run(10, noted)
    except BaseException:
        (folder / f"fault-{number}").write_text(traceback.format_exc())
        raise


def test_several_processes_share_a_budget(tmp_path):
    context = multiprocessing.get_context("spawn")  # a fork of this process runs what other tests have registered
    processes = [context.Process(target=_shared, args=(tmp_path, number)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [path.read_text() for path in tmp_path.glob("fault-*")] == []
    assert [process.exitcode for process in processes] == [0, 0]
    asked = [line for path in tmp_path.glob("asked-*") for line in path.read_text().splitlines()]
    tried = search(tmp_path).run(10, score)
    assert len(asked) == len(tried) == 10
    assert sorted(asked) == sorted(str(sorted(one.settings.items())) for one in tried)
