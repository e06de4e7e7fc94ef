"""What a search maximises, on small dialogues of named sessions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from bigfusion.model.data.dialogues import Data
from bigfusion.model.network_settings.logistic import LogisticSettings
from bigfusion.model.runs.folder import PREDICTIONS
from bigfusion.model.tuning.objective import Objective
from tests.helpers.small_runs import small_data, small_training


def by_session(data: Data) -> Data:
    """The dialogues named as IEMOCAP's, in three sessions."""

    def named(several, first):
        return [replace(one, id=f"Ses0{1 + k % 3}F_impro{first + k:02}") for k, one in enumerate(several)]

    return Data(data.labels, named(data.train, 0), named(data.valid, 50), named(data.test, 80))


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    data = by_session(small_data())
    objective = Objective.of(tmp_path_factory.mktemp("tuning"), data, "sessions", 0.2)
    model, train = LogisticSettings(modalities=("text",)), small_training(seeds=(0, 1), epochs=1, log=())
    folds = []
    return data, objective, model, train, objective.score(model, train, lambda: folds.append(1)), len(folds)


def test_the_test_dialogues_are_in_no_fold(scored):
    data, objective, *_ = scored
    test = {one.id for one in data.test}
    learnt = {one.id for one in (*data.train, *data.valid)}
    assert len(objective.folds) == 3
    for fold in objective.folds:
        ids = {one.id for one in fold.data}
        assert not ids & test and ids <= learnt
        assert not {one.id for one in fold.data.test} & {one.id for one in (*fold.data.train, *fold.data.valid)}
    given = Objective.of(Path("unused"), data, "given", 0.2)
    assert not given.folds[0].data.test


def test_a_score_is_that_of_all_folds_together(scored):
    _, objective, model, train, found, folds = scored
    runs = [study.run(model) for study in objective._studies(train)]
    table = pd.concat([pd.read_parquet(run / PREDICTIONS) for run in runs])
    table = table[(table["split"] == "test") & table["true"].notna()]
    for seed, value in enumerate(found):
        rows = table[table["seed"] == seed]
        assert value == pytest.approx(f1_score(rows["true"], rows["predicted"], average="weighted"))
    data = objective.folds[0].data
    labelled = sum(int((one.labels >= 0).sum()) for one in data)
    assert len(table) == 2 * labelled, "each labelled utterance once for each seed"
    assert folds == 3 and np.isfinite(found).all()


def test_the_networks_of_a_score_are_forgotten(scored):
    _, objective, model, train, *_ = scored
    runs = [study.run(model) for study in objective._studies(train)]
    assert all(run.is_dir() for run in runs)
    objective.forget(model, train)
    assert not any(run.exists() for run in runs)
