"""``bigfusion rollback``: make an earlier model the current one."""

from __future__ import annotations

import argparse

from bigfusion.flows.commands.common import Answer, Common

HELP = "make the model before the current one the current one again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `rollback` takes."""
    parser.add_argument("model", metavar="RUN", nargs="?", help="another evaluated run (`bigfusion models` lists them)")


def run(common: Common, model: str | None) -> Answer:
    """Make an earlier model the current one."""
    from bigfusion.flows.project import promotion

    project = common.project()
    with project.files.exclusive():
        decision = promotion.rollback(project, model)
    return Answer(f"current model: run {decision.run} ({decision.why})", decision.model_dump(mode="json"))
