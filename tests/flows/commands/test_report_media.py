"""`bigfusion report --media`: a page for each test dialogue, beside the corpus' own files, linked from the report."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from bigfusion.flows.project import dialogue_pages
from tests.helpers.small_project import Place


def run_folder(place: Place) -> Path:
    return next(path for path in (place.folder / "work/runs").iterdir() if (path / "metrics.json").exists())


def test_every_test_dialogue_has_a_page_with_its_clips_its_labels_and_its_gaps(place):
    # the manifest names the first project's files: this copy's are found after a new ingest
    assert place.run("ingest") == 0
    place.capsys.readouterr()
    assert place.run("report", "--media", "--json") == 0
    pages = json.loads(place.capsys.readouterr().out)["pages"]
    run = run_folder(place)
    scored = pd.read_parquet(run / "predictions.parquet").query("split == 'test'")
    assert set(pages) == set(scored["dialogue"])
    report = (run / "report.html").read_text()
    together = json.loads((run / "metrics.json").read_text())["together"]
    for dialogue, page in pages.items():
        assert f'href="{dialogue_pages.pages(run)[dialogue]}"' in report
        html = Path(page).read_text()
        assert html.count("<li ") == scored[scored["dialogue"] == dialogue]["utterance"].nunique()
        data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])
        files = {(Path(page).parent / unquote(file)).resolve() for file in data["files"] if file}
        assert files <= set((place.corpus / "output_repeated_splits_test").resolve().iterdir())
        assert "trained on the demo corpus" in html
        assert f"weighted F1 {100 * together['weighted_f1']:.2f}" in html, "as `predict` says it, not a mean over seeds"
        assert "labelled " in html


def test_pages_of_other_predictions_are_not_linked(place):
    assert place.run("report", "--media") == 0
    run = run_folder(place)
    assert dialogue_pages.pages(run)
    path = run / "predictions.parquet"
    table = pd.read_parquet(path)
    table.iloc[::-1].to_parquet(path)
    assert dialogue_pages.pages(run) == {}


def test_the_pages_of_another_run_are_refused_in_one_line(place):
    run = run_folder(place)
    assert place.run("report", "--media", "--run", run.name) == 1
    assert "--media has no effect here" in place.capsys.readouterr().err
