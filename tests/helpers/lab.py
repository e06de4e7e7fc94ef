"""A small project that is deployed to real services, and what its flow runs say."""

import json
import re
from contextlib import contextmanager, suppress

import httpx
import pandas as pd

from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.load import load
from tests.helpers.calm_run import calm_run
from tests.helpers.demo_corpus import copy_corpus
from tests.helpers.release_workspace import CONFIG as TALK
from tests.helpers.release_workspace import SAID, SPLITS
from tests.helpers.small_project import CONFIG

CHUNK = 2
FLOWS = ("retrain", "ingest", "extract", "partition", "train", "evaluate")
TURNS = 4
LONG = (("epochs = 2", "epochs = 60\npatience = 60"),)


@contextmanager
def prefect_api(running):
    """A client of the test's own server, not of the session's harness."""
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(running.environment["PREFECT_API_URL"]) as client:
        yield client


def state_of(client, run):
    """A run's state now."""
    return client.read_flow_run(run.id).state


def finished(client, run):
    """Whether a run is over; a server that is away for a moment says nothing."""
    with suppress(httpx.HTTPError):
        return state_of(client, run).is_final()


def runs(client, flow):
    """All runs of a flow, oldest first."""
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = FlowFilter(name=FlowFilterName(any_=[flow]))
    return client.read_flow_runs(flow_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200)


def lab(folder, dialogues: int, *changes: tuple[str, str]):
    """A small project's settings file, its corpus beside it."""
    folder.mkdir()
    copy_corpus(folder / "MELD.Raw", dialogues=dialogues)
    config = folder / "bigfusion.toml"
    small = CONFIG.replace(', "audio", "visual"', "").replace("chunk_size = 16", f"chunk_size = {CHUNK}")
    for old, new in (("seeds = [0, 1]", "seeds = [0]"), *changes):
        small = small.replace(old, new)
    config.write_text(small + "[runner]\npartitions = 2\ndead_after_seconds = 45\n")
    return config


def in_the_middle(log):
    """Whether a worker's log tells of a partition some chunks of which are stored, and others to do."""
    chunks = re.findall(r"Task run 'text (\d+)/(\d+)' - Finished", log.read_text())
    return chunks and int(chunks[-1][0]) < int(chunks[-1][1]) - 1


def talk(folder, number: int, turns: int, *changes: tuple[str, str]):
    """The settings file of a project without media: eight dialogues of its own words, stored two at a time."""
    folder.mkdir()
    rows = ["dialogue,turn,speaker,text,label,split,media"]
    for place, split in enumerate(SPLITS):
        for turn in range(turns):
            label = list(SAID)[(place + turn + number) % 3]
            said = f"{SAID[label][(place + 2 * turn) % 3]} ({number}, {place}, {turn})"
            rows.append(f'd{place},{turn},{"AB"[turn % 2]},"{said}",{label},{split},')
    (folder / "utterances.csv").write_text("\n".join(rows) + "\n")
    settings = TALK + f"[extract]\nchunk_size = {CHUNK}\n[runner]\npartitions = 2\ndead_after_seconds = 300\n"
    for old, new in changes:
        assert old in settings
        settings = settings.replace(old, new)
    config = folder / "bigfusion.toml"
    config.write_text(settings)
    return config


def deployed(running, folder, names, *changes):
    """Projects in a folder, deployed: their settings files by name."""
    configs = {}
    for number, name in enumerate(names):
        configs[name] = talk(folder / name, number, TURNS, *LONG, *changes)
        running.bigfusion("deploy", "--config", str(configs[name]), "--name", name)
    return configs


def started(client, names):
    """A retrain of each project, all at once."""
    found = {}
    for name in names:
        found[name] = client.create_flow_run_from_deployment(client.read_deployment_by_name(f"retrain/{name}").id)
    return found


def extracting(client, retrains, configs):
    """Whether each project has stored something. Fails at once if a retrain has ended already."""
    states = [state_of(client, run) for run in retrains.values()]
    assert not any(state.is_final() for state in states), [state.message for state in states]
    return all(stored(config) for config in configs.values())


def stored(config):
    """The number of shards in a project's store."""
    return len(list(config.parent.glob("work/store/text/text-*.parquet")))


def all_over(client):
    """Every flow run on the server, once none of them is under way; a server that is away says nothing."""
    found = [run for flow in FLOWS for run in runs(client, flow)]
    return found if found and all(run.state.is_final() for run in found) else None


def whole(config, twice):
    """Every cell is stored, at most ``twice`` of them in two shards, and the scores are those of an undisturbed run."""
    project = load(config)
    planned = cells.plan(project, corpus.kept(project))
    assert planned.pending_count == 0
    with project.files.store() as store:
        assert store.info()["duplicates"] <= twice
    undisturbed = calm_run(config, config.parent.with_name(f"{config.parent.name}-calm"))
    (disturbed,) = (config.parent / "work/runs").iterdir()
    tables = [pd.read_parquet(run / "predictions.parquet") for run in (disturbed, undisturbed)]
    # Workers pad other utterances together, so features differ by rounding, and sixty epochs make more of it.
    pd.testing.assert_frame_equal(*tables, rtol=0, atol=1e-3)
    scores = [json.loads((run / "metrics.json").read_bytes()) for run in (disturbed, undisturbed)]
    for name in ("weighted_f1", "accuracy", "confusion"):
        assert scores[0][name] == scores[1][name]
