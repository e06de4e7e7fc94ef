"""Where a project stands is found out once and handed on: what a command scans, reads and plans is counted."""

import subprocess
import sys
from collections import Counter

import pytest

from bigfusion.flows.project import cells, corpus, reporting
from bigfusion.flows.project.load import load
from bigfusion.flows.project.standing import handed, handed_on
from bigfusion.flows.project.standing import load as load_standing
from bigfusion.flows.stages.evaluate import evaluate_run
from bigfusion.pipeline.manifest.manifest import Manifest


@pytest.fixture
def counts(monkeypatch) -> Counter[str]:
    """How often the corpus was scanned, the manifest read, and all cells planned; all three do their work."""
    counted: Counter[str] = Counter()

    def counting(name, real):
        def call(*given, **named):
            counted[name] += 1
            return real(*given, **named)

        return call

    monkeypatch.setattr(corpus, "scan", counting("scans", corpus.scan))
    monkeypatch.setattr(cells, "plan_cells", counting("plans", cells.plan_cells))
    monkeypatch.setattr(Manifest, "read", staticmethod(counting("reads", Manifest.read)))
    return counted


def test_a_run_with_nothing_to_do_looks_once(place, counts):
    assert place.run("run") == 0
    assert counts == {"scans": 1, "reads": 1, "plans": 1}


def test_a_run_with_work_to_do_scans_once_and_plans_before_and_after_extraction(place, counts):
    assert place.run("run", "--set", "text.context=1", "--set", "train.epochs=1", "--set", "train.seeds=[0]") == 0
    assert counts == {"scans": 1, "reads": 1, "plans": 2}


@pytest.mark.slow
def test_every_command_finds_out_what_it_needs_once(place, counts):
    for command in ("plan", "train", "evaluate", "report"):
        counts.clear()
        assert place.run(command) == 0
        assert max(counts.values()) == 1, command
    counts.clear()
    assert place.run("extract", "--set", "audio.silence_rms=3e-4") == 0
    assert counts == {"scans": 1, "reads": 1, "plans": 2}


def test_a_standing_is_handed_to_flows_of_the_same_project_alone(place):
    project, other = load(place.config), load(place.config, None, ["train.epochs=3"])
    standing = load_standing(project)
    assert handed(project) is None
    with handed_on(project, standing):
        assert handed(load(place.config)) is standing
        assert handed(other) is None
    assert handed(project) is None


def test_a_run_with_nothing_to_do_loads_no_network_and_no_encoder(finished):
    """It prints a stored table: a second, and not a gigabyte."""
    heavy = ("torch", "torch_geometric", "transformers", "sklearn", "cv2", "opensmile", "onnxruntime", "prefect")
    code = (
        "import sys; from bigfusion.flows import cli\n"
        f"code = cli.main(['run', '--config', {str(finished.config)!r}])\n"
        f"print(code, [name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "nothing to do" in ran.stderr
    assert ran.stderr.splitlines()[-1] == "0 []"


def test_a_run_that_is_trained_again_is_scored_again(place):
    project = load(place.config)
    before = load_standing(project)
    assert not before.stage("evaluate").pending
    before.run.begin(before.plan)
    assert load_standing(project).stage("evaluate").pending


def test_an_evaluation_that_was_killed_before_its_report_is_not_done(place, monkeypatch):
    """The report is still that of two seeds."""
    project = load(place.config, None, ["train.seeds=[1]"])

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(reporting, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(project, load_standing(project))
    after = load_standing(project)
    assert after.run.scored == [1]
    assert after.run.report.exists()
    assert after.stage("evaluate").pending
