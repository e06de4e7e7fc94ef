"""Commands of running day and night: which model is current, deployments, serving."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bigfusion.flows.commands.options import Answer, Options
from bigfusion.flows.commands.show import columns
from bigfusion.flows.project import promotion
from bigfusion.flows.project.project import settings_file
from bigfusion.flows.project.workspace import Workspace, relative
from bigfusion.pipeline.errors import SettingsError

if TYPE_CHECKING:
    from prefect.client.schemas.schedules import CronSchedule

log = logging.getLogger("bigfusion")


def models(options: Options) -> Answer:
    """Every run: its scores, what was decided on it, and which is the current model."""
    mine = options.project()
    found = promotion.models(mine)
    current = next((model["run"] for model in found if model["current"]), None)
    data = {"current": current, "models": found, "register": str(Workspace(mine).current)}
    if not found:
        return Answer("no run yet; `bigfusion run` makes one", data)
    rows = [
        [
            model["run"],
            "->" if model["current"] else "",
            model["created"],
            model["state"],
            _points(model["valid_weighted_f1"]),
            _points(model["weighted_f1"]),
        ]
        for model in found
    ]
    lines = [columns(rows, ["run", "", "created", "state", "valid WF1", "test WF1"])]
    lines += ["", *(f"{model['run']}: {model['why']}" for model in found if model["why"])]
    return Answer("\n".join(lines), data)


def rollback(options: Options) -> Answer:
    """Make an earlier model the current one."""
    mine = options.project()
    with Workspace(mine).exclusive():
        decision = promotion.rollback(mine, options.target)
    return Answer(f"current model: run {decision.run} ({decision.why})", decision.model_dump(mode="json"))


def deploy(options: Options) -> Answer:
    """Write ``prefect.yaml`` beside the settings, and register its deployments on the configured server."""
    from bigfusion.flows.engine.session import server_url, set_defaults

    set_defaults()
    url = server_url()
    if url is None:
        raise SettingsError(
            "deploy: expected PREFECT_API_URL, found none; start `prefect server start` and export its address,"
            " or use `bigfusion serve`, which needs neither"
        )
    from bigfusion.flows.engine.server import await_server

    mine = options.project()
    when = _schedule(options)
    await_server(url)
    from bigfusion.flows.engine import deployments as deployment

    name = options.name or mine.name
    path = settings_file(options.config, options.preset).resolve().with_name("prefect.yaml")
    table = deployment.definitions(mine, name, options.gpus, when)
    deployment.write(path, table)
    names = deployment.register(path, table, options.gpus, mine.runner.dead_after_seconds)
    pools = sorted({item["work_pool"]["name"] for item in table["deployments"]})
    lines = [
        f"wrote {relative(path)}; registered with {url}:",
        *(f"  {name}" for name in names),
        *(f"start a worker:  prefect worker start --pool {pool} --type process" for pool in pools),
        f"run it now:      prefect deployment run {names[0]}",
    ]
    return Answer("\n".join(lines), {"deployments": names, "pools": pools, "file": str(path)})


def serve(options: Options) -> Answer:
    """Serve the deployments from this process until it is interrupted; begins a server where none is configured."""
    from bigfusion.flows.engine.server import own_server

    mine = options.project()
    name = options.name or mine.name
    with own_server(Workspace(mine), options.port) as url:
        from bigfusion.flows.stages.serve import (
            serve_deployments,  # Prefect reads the server's address when it is imported
        )

        when = f"retrain at {options.cron!r} {options.timezone}" if options.cron else "no schedule"
        log.info("serve: %s: %s; %s; Ctrl-C ends it", name, when, url.removesuffix("/api"))
        serve_deployments(mine, name, _schedule(options))
    return Answer("serve: ended", {"name": name})


def _schedule(options: Options) -> CronSchedule | None:
    if options.cron is None:
        return None
    from prefect.client.schemas.schedules import CronSchedule

    try:
        return CronSchedule(cron=options.cron, timezone=options.timezone)
    except ValueError as error:
        raise SettingsError(
            f"--cron {options.cron!r} --timezone {options.timezone}: expected five fields as in crontab and a zone such"
            f" as Europe/Berlin, found {str(error).splitlines()[-1].strip()}"
        ) from None


def _points(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f}"
