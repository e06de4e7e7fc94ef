"""``bigfusion deploy``: deployments on a Prefect server, for workers."""

from __future__ import annotations

import argparse

from bigfusion.flows.commands.common import Answer, Common, add_schedule
from bigfusion.flows.commands.schedule import schedule
from bigfusion.pipeline.errors import SettingsError

HELP = "write prefect.yaml and register the deployments for workers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `deploy` takes."""
    parser.add_argument("--gpus", type=_cards, default=0, metavar="N", help="cards that workers of the pool `gpu` have")
    add_schedule(parser)


def _cards(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected how many cards, 0 or more, found {text!r}")
    return int(text)


def run(common: Common, gpus: int, seeds: int | None, cron: str | None, timezone: str, name: str | None) -> Answer:
    """Write ``prefect.yaml`` beside the settings, and register its deployments on the configured server."""
    from bigfusion.flows.engine.configuration import server_url, set_defaults

    set_defaults()
    when = schedule(cron, timezone)
    url = server_url()
    if url is None:
        raise SettingsError(
            "deploy: expected PREFECT_API_URL, found none; start `prefect server start` and export its address,"
            " or use `bigfusion serve`, which needs neither"
        )
    from bigfusion.flows.engine.server import await_server
    from bigfusion.flows.project.load import settings_file
    from bigfusion.flows.project.workspace import relative

    project = common.project(seeds=seeds)
    await_server(url)
    from bigfusion.flows.engine import deployments

    path = settings_file(common.config, common.preset).resolve().with_name("prefect.yaml")
    table = deployments.definitions(project, name or project.name, gpus, when)
    deployments.write(path, table)
    names = deployments.register(path, table, gpus, project.runner.dead_after_seconds)
    pools = sorted({item["work_pool"]["name"] for item in table["deployments"]})
    lines = [
        f"wrote {relative(path)}; registered with {url}:",
        *(f"  {name}" for name in names),
        *(f"start a worker:  prefect worker start --pool {pool} --type process" for pool in pools),
        f"run it now:      prefect deployment run {names[0]}",
    ]
    return Answer("\n".join(lines), {"deployments": names, "pools": pools, "file": str(path)})
