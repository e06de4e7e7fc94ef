"""Deployments, the gpu slot, cancellation, artifacts and the log, against the session's own Prefect server."""

import importlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
import yaml
from prefect import flow, runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Completed, Running, Scheduled

from bigfusion.flows import cli, logs
from bigfusion.flows.engine import artifacts, deployments, handout, hooks, session
from bigfusion.flows.engine.configuration import SLOT
from bigfusion.flows.project import runs, standing
from bigfusion.flows.project.corpus import kept
from bigfusion.flows.project.load import load
from bigfusion.flows.project.settings import Project
from bigfusion.flows.stages.fan_out import _jobs
from bigfusion.flows.stages.partition import in_parts
from bigfusion.pipeline.corpora.scan import scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.schema import FeatureName, Modality
from tests.helpers import release_workspace
from tests.helpers.small_project import Place


def test_prefect_yaml_says_the_projects_settings(place: Place, tmp_path):
    project = load(place.config)
    table = deployments.definitions(project, "lab", 1, None)
    deployments.write(tmp_path / "prefect.yaml", table)
    read = yaml.safe_load((tmp_path / "prefect.yaml").read_text())
    assert read == table
    pools = {
        f"{item['entrypoint'].split('.')[-1]}/{item['name']}": item["work_pool"]["name"] for item in read["deployments"]
    }
    assert pools == {
        "retrain/lab": "cpu", "ingest/lab": "cpu", "extract/lab": "cpu", "partition/lab-cpu": "cpu",
        "partition/lab-gpu": "gpu", "train/lab": "gpu", "evaluate/lab": "cpu",
    }  # fmt: skip
    checked = [item["entrypoint"].split(".")[-1] for item in read["deployments"] if item["enforce_parameter_schema"]]
    assert checked == ["retrain"], "a server needs half a second to check the parameters of one run"
    back = Project.model_validate(read["deployments"][0]["parameters"]["project"])
    assert back.model_dump(exclude={"runner"}) == project.model_dump(exclude={"runner"})
    assert (back.runner.kind, back.runner.deployment) == ("workers", "lab")


def test_a_table_on_workers_needs_no_column_that_it_did_not_need_here(tmp_path):
    """Deployments name every setting; a column that has its name by default may be missing all the same."""
    (tmp_path / "utterances.csv").write_text(release_workspace.table())
    config = tmp_path / "bigfusion.toml"
    config.write_text(release_workspace.CONFIG)
    project = load(config)
    there = json.loads(json.dumps(deployments.definitions(project, "lab", 0, None)))["deployments"][0]["parameters"]
    for parameters in (there, json.loads(json.dumps(handout.parameters(project)))):
        back = Project.model_validate(parameters["project"])
        assert back.corpus == project.corpus
        assert scan(back.corpus, FileDigests()).table.equals(scan(project.corpus, FileDigests()).table)
    config.write_text(release_workspace.CONFIG + '[corpus.columns]\naudio = "audio"\n')
    named = Project.model_validate(load(config).parameters())
    with pytest.raises(CorpusError, match="expected a column 'audio'"):
        scan(named.corpus, FileDigests())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--cron", "nonsense"), "expected five fields as in crontab and a zone such as Europe/Berlin, found Invalid "),
        (
            ("--cron", "0 3 * * *", "--timezone", "Mars/Olympus"),
            "--timezone 'Mars/Olympus': expected a zone such as Europe/Berlin, found none of this name",
        ),
    ],
)
def test_a_wrong_schedule_is_refused_in_one_line(place: Place, arguments, line, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # nobody is asked
    assert place.run("deploy", *arguments) == 1
    shown = place.capsys.readouterr().err
    assert line in shown
    assert "further information" not in shown


def test_deploy_needs_a_server(place: Place, monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert place.run("deploy") == 1
    assert "expected PREFECT_API_URL" in place.capsys.readouterr().err


def test_partitions_hold_every_pending_cell_once(place: Place):
    project = load(place.config, None, ["text.layers=last4", "runner.partitions=3", "runner.deployment=lab"])
    planned = standing.load(project).plan
    pending = planned.pending(Modality.TEXT)
    text = FeatureName("text")
    jobs = _jobs(project, planned, False)
    assert {job.deployment for job in jobs} == {"partition/lab-cpu"}  # no deployment for a GPU exists
    held = []
    for given in (job.parameters for job in jobs):
        held += [cell.utterance for cell in in_parts(planned, [text], given["parts"])[given["number"] - 1]]
    assert sorted(held) == sorted(cell.utterance for cell in pending)
    assert {job.parameters["project"]["runner"]["kind"] for job in jobs} == {"local"}


def test_a_training_waits_for_the_slot(place: Place):
    """While another holds the slot no epoch is trained; once it is free the training runs."""
    from bigfusion.flows.stages.train import train

    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=SLOT, limit=1))
        try:
            project = load(place.config, None, ["train.epochs=1", "train.seeds=[0]"])
            run = standing.load(project).run
            with concurrency(SLOT):
                training = threading.Thread(target=train, args=(project,))
                training.start()
                deadline = time.monotonic() + 60
                while not _waits(client) and time.monotonic() < deadline:
                    time.sleep(0.2)
                time.sleep(2)
                assert not list(run.folder.glob("seed-*"))
            training.join(120)
            assert run.trained
        finally:
            client.delete_global_concurrency_limit_by_name(SLOT)


def _waits(client) -> bool:
    return client.read_global_concurrency_limit_by_name(SLOT).active_slots == 1


@pytest.fixture
def outer():
    """A flow that has started another one: itself, its run, and the id of the other's."""

    @flow(name="left")
    def inner():
        return runtime.flow_run.id

    @flow(name="outer")
    def outer():
        return runtime.flow_run.id, inner()

    own, started = outer()
    with get_client(sync_client=True) as client:
        yield outer, client.read_flow_run(own), started


def test_a_cancelled_run_leaves_none_of_its_runs_behind(outer):
    begun, run, started = outer
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(started, Running(), force=True)  # as a killed process leaves it
        hooks.cancel_children(flow=begun, flow_run=run, state=Cancelled())  # named, as a worker calls it
        assert client.read_flow_run(started).state.is_cancelled()


def test_a_run_on_a_worker_that_ends_while_it_is_being_cancelled_stays_completed(outer, monkeypatch):
    """As "cancelling" it would wait for ever for a worker that ends its process."""
    begun, run, started = outer
    read = SyncPrefectClient.read_flow_runs
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(started, Running(), force=True)

        def ends_meanwhile(self, **asked):
            found = read(self, **asked)
            for one in found:
                client.set_flow_run_state(one.id, Completed(), force=True)
            return [one.model_copy(update={"deployment_id": one.id, "infrastructure_pid": "host:1"}) for one in found]

        monkeypatch.setattr(SyncPrefectClient, "read_flow_runs", ends_meanwhile)
        hooks.cancel_children(flow=begun, flow_run=run, state=Cancelled())
        assert client.read_flow_run(started).state.is_completed()


def test_every_run_leaves_its_artifacts(finished: Place):
    project = load(finished.config)
    kept = json.loads((finished.folder / "artifacts.json").read_bytes())
    names = {key.removeprefix(f"{project.name}-"): data for key, data in kept.items() if key.startswith(project.name)}
    assert {"plan", "scores", "confusion", "report", "text", "audio", "visual", "training"} <= names.keys()
    plan = json.loads(names["plan"])
    assert {row["feature"] for row in plan} == {"text", "audio", "visual"}
    assert json.loads(names["scores"])[0]["score"] == "weighted F1"  # a column without a name is shown empty
    assert "report.html" in names["report"]


def test_the_confusion_picture_shows_the_counts():
    svg = artifacts.confusion_svg({"labels": ["a<b", "joy"], "counts": [[3, 1], [0, 2.5]]})
    texts = [element.text for element in ElementTree.fromstring(svg).iter() if element.text]
    assert texts == ["a<b", "a<b", "3", "1", "joy", "joy", "0", "2.5"]


class Records(logging.Handler):
    """Keeps every message at INFO or above."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.mark.slow
def test_the_log_holds_no_transcripts_and_no_media_paths(place: Place):
    from bigfusion.flows.stages.retrain import retrain

    shutil.rmtree(place.folder / "work/store/text")
    shutil.rmtree(place.folder / "work/store/audio")
    seen, log, project = Records(), logging.getLogger("bigfusion"), load(place.config)
    log.addHandler(seen)
    try:
        retrain(project)
    finally:
        log.removeHandler(seen)
    lines = "\n".join(seen.lines)
    assert re.search(r"extract: audio: \d+ ok", lines)
    assert ".mp4" not in lines
    assert not [text for text in kept(project).table["text"] if len(text) > 12 and text in lines]


def test_json_logs_are_one_object_a_line():
    record = logging.LogRecord("bigfusion", logging.INFO, "", 0, "two\nlines of %s", ("text",), None)
    line = logs.OneJson().format(record)
    assert "\n" not in line
    assert json.loads(line)["event"] == "two\nlines of text"
    assert json.loads(line)["level"] == "info"
    assert logs.OneLine().format(record) == "two lines of text"


def test_the_workspace_can_be_held_again_within_a_process(tmp_path):
    workspace = load(None, "demo", [f"workspace.path={tmp_path}"]).files
    assert workspace.holder() is None
    with workspace.exclusive(), workspace.exclusive():
        assert workspace.holder() is not None
    assert workspace.holder() is None


HEAVY = ("torch", "torch_geometric", "transformers", "sklearn", "cv2", "opensmile", "accelerate")
WORKER = f"""
import sys
import bigfusion.flows.stages.partition as p
p.log.info("partition: %s", "text")
p.log.debug("not this")
print([type(handler).__name__ for handler in p.log.handlers])
import bigfusion.flows.stages.retrain
print([name for name in {HEAVY} if name in sys.modules])
"""


@pytest.fixture(scope="module")
def worker() -> subprocess.CompletedProcess[str]:
    """A process with Prefect's settings for workers, in which a partition logs; then a retrain is imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_LOGGING_EXTRA_LOGGERS": "bigfusion", "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json"}
    return subprocess.run([sys.executable, "-c", WORKER], env=environment, capture_output=True, text=True, check=True)


def test_a_workers_process_logs_what_it_does(worker):
    """Prefect hangs its handlers on our logger, but sets no level: the root's would let warnings alone through."""
    assert worker.stdout.splitlines()[0] == "['APILogHandler']"
    (line,) = [json.loads(line) for line in worker.stderr.splitlines() if line.startswith("{")]
    assert line["msg"] % tuple(line["args"]) == "partition: text"


def test_a_retrain_that_finds_nothing_to_do_need_not_load_the_network(worker):
    """The heavy libraries take 10 s of a processor to import; a nightly run that trains nothing does without them."""
    assert worker.stdout.splitlines()[1] == "[]"


@pytest.fixture
def busy(tmp_path):
    """A deployed project that another process is at work on, and that holds nothing yet."""
    project = load(None, "demo", [f"workspace.path={tmp_path}", "runner.kind=workers", "runner.deployment=lab"])
    hold = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True)"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{hold}; sys.stdin.read()", str(tmp_path / "lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "held\n"
    yield project
    holder.communicate("")


@pytest.mark.parametrize("name", ["retrain", "ingest", "extract", "train", "evaluate"])
def test_a_run_on_workers_leaves_the_work_to_the_one_that_is_at_it(busy, monkeypatch, name):
    """Waiting it would fill the slot that the other's partitions need: scheduled or typed often enough, for ever."""
    monkeypatch.setattr(session, "PATIENCE_SECONDS", 0.5)
    state = getattr(importlib.import_module(f"bigfusion.flows.stages.{name}"), name)(busy, return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "Skipped")
    assert "is at work on it" in state.message


def test_a_run_with_a_parent_does_not_ask_for_the_workspace(busy, monkeypatch):
    """The parent holds it, maybe on another machine."""
    from bigfusion.flows.stages.train import train

    monkeypatch.setattr(session, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(CorpusError, match="no such manifest"):  # it went to work
        flow(name="parent")(lambda: train(busy))()


def test_prefect_yaml_lies_beside_its_settings(tmp_path, monkeypatch):
    """Wherever the workspace is: two projects with workspaces on one disk had one file."""
    monkeypatch.setattr(deployments, "register", lambda *given: ["retrain/of-nobody"])
    for name in ("a", "b"):
        config = tmp_path / name / "bigfusion.toml"
        config.parent.mkdir()
        config.write_text(f'preset = "demo"\n[workspace]\npath = "{tmp_path}/srv/{name}-work"\n')
        assert cli.main(["deploy", "--config", str(config), "--seeds", "2"]) == 0
    for name in ("a", "b"):
        written = yaml.safe_load((tmp_path / name / "prefect.yaml").read_text())
        settings = written["deployments"][0]["parameters"]["project"]
        assert settings["workspace"]["path"] == f"{tmp_path}/srv/{name}-work"
        assert settings["train"]["seeds"] == [0, 1]


TRAINING = """
import sys
from prefect import flow, runtime
import bigfusion.flows.project.assemble, bigfusion.model.training.train  # what takes seconds to import
from bigfusion.flows.project import runs
from bigfusion.flows.project.load import load
from bigfusion.flows.stages.train import train

look = runs.stages

def stages(*given):
    found = look(*given)
    print("looked", flush=True)
    sys.stdin.readline()
    return found

@flow
def retrain():
    train(load(sys.argv[1], None, ["train.epochs=6"]))

runs.stages = stages
retrain()
"""


@pytest.mark.slow
def test_a_training_that_is_handed_out_again_while_the_first_goes_on_waits_for_it(place: Place):
    """A server that was away marks live runs as crashed; each seed is trained by one process all the same."""
    environment = {**os.environ, "PREFECT_API_URL": get_current_settings().api.url, "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(place.config)], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [one.stdout.readline() for one in both] == ["looked\n"] * 2, "both find the training to be done"
    for one in both:
        one.stdin.write("\n")
        one.stdin.flush()
    errors = [one.communicate(timeout=180)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], errors
    (run,) = [run for run in runs.runs(load(place.config)) if run["inputs"]["train"]["epochs"] == 6]
    seeds = sorted(place.folder.joinpath("work/runs", run["run"]).glob("seed-*"))
    assert len(seeds) == 2
    assert [len(list(seed.glob("tensorboard/*"))) for seed in seeds] == [1, 1], "a training each: nobody else wrote"


def test_status_shows_what_is_to_come_and_no_finished_parts(place: Place):
    from bigfusion.flows.stages.retrain import retrain

    project = load(place.config)
    parameters = {"project": project.model_dump(mode="json")}
    with get_client(sync_client=True) as client:
        for hours in (48, 24):
            state = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=hours))
            client.create_flow_run(retrain, parameters=parameters, name=f"in {hours} hours", state=state)
    retrain(project)
    place.capsys.readouterr()
    assert place.run("status", "--json") == 0
    shown = json.loads(place.capsys.readouterr().out)["flow_runs"]
    assert [(run["run"], run["state"]) for run in shown] == [
        ("in 24 hours", "Scheduled"),
        (f"retrain {project.name}", "Completed"),
    ]
    assert all(run["start"] for run in shown)
