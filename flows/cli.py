"""The command line: ``bigfusion COMMAND``. Results go to standard output, everything else to standard error.

Exit codes: 0 done; 2 (``plan``) work is pending; 3 (``fsck``) damage was found; 1 an error, in one line (``--debug``
shows its traceback); 130 and 143 stopped by Ctrl-C or SIGTERM, with all that is finished kept.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bigfusion.flows import logs
from bigfusion.flows.commands import commands, production
from bigfusion.flows.commands import export as exporting
from bigfusion.flows.commands import store as store_commands
from bigfusion.flows.commands.faces import evaluate_faces, train_faces
from bigfusion.flows.commands.finetune_text import finetune_text
from bigfusion.flows.commands.options import Answer, Options
from bigfusion.flows.commands.quarantine import quarantine
from bigfusion.flows.commands.settings import settings
from bigfusion.flows.project.project import LEARNING
from bigfusion.flows.version import version
from bigfusion.pipeline.digests.imports import PACKAGES
from bigfusion.pipeline.errors import BigFusionError

log = logging.getLogger("bigfusion")

Command = Callable[[Options], Answer]


class _Parser(argparse.ArgumentParser):
    """Usage errors are errors like others: one line, exit code 1 (2 means pending work)."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code."""
    given = _parser().parse_args(arguments)
    logs.set_up(given.debug, given.log_json)
    known = {field.name for field in fields(Options)}
    options = Options(**{name: value for name, value in vars(given).items() if name in known})
    try:
        command: Command = given.command
        with _terminable():
            answer = command(options)
        _show(answer, given.json)
    except KeyboardInterrupt as stopped:
        terminated = isinstance(stopped, _TerminatedError)
        what = "terminated" if terminated else "interrupted"
        print(f"{what}; what is finished is kept, the same command goes on from there", file=sys.stderr)
        return 128 + (signal.SIGTERM if terminated else signal.SIGINT)
    except (BigFusionError, OSError) as error:
        if given.debug:
            raise
        if given.log_json:
            log.error("%s", _one_line(error))
        else:
            print(f"bigfusion: {_one_line(error)}", file=sys.stderr)
        return 1
    except ImportError as error:
        remedy = _remedy(error)
        if given.debug or remedy is None:
            raise
        print(f"bigfusion: {_one_line(error)}; {remedy}", file=sys.stderr)
        return 1
    return answer.code


def _show(answer: Answer, as_json: bool) -> None:
    try:
        print(json.dumps(answer.data, indent=2, ensure_ascii=False) if as_json else answer.text)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on; what is still in the buffer must not be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM, as a batch system or a container's stop sends it: to be unwound as Ctrl-C is."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Unwind on SIGTERM: temporary files go, locks are let go, and at exit Prefect ends the server that it began."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise _TerminatedError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _remedy(error: ImportError) -> str | None:
    """What brings a library that this machine lacks; none where the import itself is wrong."""
    if ".so" in str(error):
        return "install that system library (OpenCV's come with `apt install libgl1 libglib2.0-0`)"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in PACKAGES:
        return "install the project's dependencies (`make`, or `pip install -e .`)"
    return None


def _seeds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"expected how many seeds to train, 1 to 1000, found {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share such as 10% or 0.1, found {text!r}")
    return share


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours < 1e6:
        raise argparse.ArgumentTypeError(f"expected hours, 0 or more, found {text!r}")
    return hours


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _common() -> _Parser:
    """What every command takes."""
    common = _Parser(add_help=False)
    group = common.add_argument_group("settings")
    group.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: bigfusion.toml)")
    group.add_argument(
        "--preset", metavar="NAME", help="shipped settings below the file's: meld, iemocap, demo, tuned, paper"
    )
    group.add_argument(
        "--set",
        action="append",
        dest="assignments",
        default=[],
        metavar="KEY=VALUE",
        help="one setting, for instance train.epochs=20",
    )
    group.add_argument("--json", action="store_true", help="print the result as JSON")
    group.add_argument("--log-json", action="store_true", help="log a JSON object an event")
    group.add_argument("--debug", action="store_true", help="show tracebacks and Prefect's own log")

    return common


def _parser() -> argparse.ArgumentParser:
    common = _common()
    parser = _Parser(
        prog="bigfusion",
        description="From raw conversations to an honestly scored BIG-FUSION model; reruns only what changed.",
        epilog="Begin with `bigfusion demo`, or with `bigfusion init DIR --preset meld`.",
    )
    parser.add_argument("--version", action="version", version=f"bigfusion {version()}")
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        added = parsers.add_parser(name, parents=[common], help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(command=run)
        return added

    init = add("init", commands.init, "write a commented settings file for a preset into a folder")
    init.add_argument("folder", type=Path, metavar="DIR")
    init.add_argument("--root", dest="target", metavar="PATH", help="the corpus's folder")
    init.add_argument("--learning", choices=LEARNING, help="the network and its training of this preset instead")
    listing = add("settings", settings, "list every setting: its default, what it may be, and what it means")
    listing.add_argument("target", metavar="TABLE", nargs="?", help="for instance `text`, or `model.graph`")
    add("ingest", commands.ingest, "scan the corpus into a manifest: counts by split and label, and what was skipped")
    plan = add("plan", commands.plan, "say what a run would do and why, and do nothing; exit code 2 if work is pending")
    extract = add("extract", commands.extract, "compute the features that are missing or stale")
    train = add("train", commands.train, "train every seed; goes on where it was interrupted")
    train.add_argument("--out", dest="run", type=Path, metavar="RUN", help="with --features: the run's folder")
    evaluate = add("evaluate", commands.evaluate, "score the trained model on the test split, once")
    evaluate.add_argument("--run", dest="run", type=Path, metavar="RUN", help="with --features: the trained run")
    reproduce = add("reproduce", commands.reproduce, "remake a table or figure of the paper, as a picture and as data")
    reproduce.add_argument("--table", type=int, choices=[4], help="4: the ablations")
    reproduce.add_argument(
        "--figure", type=int, choices=[3, 4, 5], help="3: alpha x gamma; 4: a case; 5: components, loss landscape"
    )
    reproduce.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default: reproduction)")
    for on_file in (train, evaluate, reproduce):
        on_file.add_argument(
            "--features", type=Path, metavar="FILE", help="a feature file (Parquet, pickle) instead of a project"
        )
    run = add("run", commands.run, "ingest, extract, train, evaluate: only what changed")
    report = add("report", commands.report, "print where the run's report lies")
    for seeded in (plan, train, evaluate, run, report, reproduce):
        _add_seeds(seeded)
    for retrying in (extract, run):
        retrying.add_argument("--retry-failed", action="store_true", help="try the cells again that failed before")
        retrying.add_argument("--runner", choices=["local", "ray"], help="who computes the chunks: here or Ray")
    comparing = add("compare", commands.compare, "compare two scored runs: differences, and how sure they are")
    comparing.add_argument("target", metavar="RUN")
    comparing.add_argument("folder", type=Path, metavar="RUN")
    explain = add(
        "explain", commands.explain, "show each cell of an utterance: what it was made from, when, and by which run"
    )
    explain.add_argument("target", metavar="UTTERANCE")
    demo = add("demo", commands.demo, "make a small corpus of real media files, and run everything on it")
    demo.add_argument("folder", type=Path, metavar="DIR", nargs="?", default=Path("demo"))
    importing = add(
        "import", commands.import_features, "take over a feature file of yours (MMGCN/COSMIC pickle, Parquet)"
    )
    importing.add_argument("target", metavar="FILE")
    importing.add_argument(
        "folder", type=Path, metavar="DIR", nargs="?", help="project folder (default: the file's name)"
    )
    _add_production_commands(add)
    _add_extractor_commands(add)
    add("status", commands.status, "show the store, the manifest, the runs and the failures")
    _add_store_commands(add)
    return parser


def _add_seeds(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seeds", type=_seeds, metavar="N", help="the seeds 0 to N - 1 (default: train.seeds)")


def _add_extractor_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    faces = add("train-faces", train_faces, "train the facial DenseNet on FER+; goes on where it was interrupted")
    faces.add_argument("--out", type=Path, metavar="DIR", help="where state and weights go (default: faces)")
    scoring = add("evaluate-faces", evaluate_faces, "score weights of the facial DenseNet on FER+'s test split")
    scoring.add_argument("--weights", type=Path, metavar="FILE", help="(default: those that come with the project)")
    for command in (faces, scoring):
        command.add_argument(
            "--data",
            type=Path,
            default=Path("ferplus"),
            metavar="DIR",
            help="FER+, index.csv and mosaics (default: ferplus)",
        )
    tuning = add("finetune-text", finetune_text, "fine-tune the text encoder on the training dialogues' emotions")
    tuning.add_argument("--out", type=Path, metavar="DIR", help="where the encoder goes (default: in the workspace)")
    listing = add("quarantine", quarantine, "list the failed cells and what to do about each: a page and a CSV file")
    listing.add_argument("--out", type=Path, metavar="DIR", help="where they go (default: the workspace)")


def _add_production_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    add("models", production.models, "list the runs: scores, what was decided on each, and the current one")
    back = add("rollback", production.rollback, "make the model before the current one the current one again")
    back.add_argument("target", metavar="RUN", nargs="?", help="another evaluated run (`bigfusion models` lists them)")
    deploy = add("deploy", production.deploy, "write prefect.yaml and register the deployments for workers")
    deploy.add_argument("--gpus", type=int, default=0, metavar="N", help="cards that workers of the pool `gpu` have")
    serve = add("serve", production.serve, "run the deployments on this machine, without workers")
    serve.add_argument("--port", type=int, default=4200, help="of the Prefect server, where none is configured")
    for scheduled in (deploy, serve):
        _add_seeds(scheduled)
        scheduled.add_argument("--cron", metavar="CRON", help='when to retrain, for instance "0 3 * * *"')
        scheduled.add_argument("--timezone", default="UTC", metavar="ZONE", help="of --cron (default: UTC)")
        scheduled.add_argument("--name", metavar="NAME", help="of the deployments (default: the project folder's)")


def _add_store_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    fsck = add("fsck", store_commands.fsck, "check every shard and the index; exit code 3 if damage is found")
    fsck.add_argument("--sample", type=_share, default=1.0, metavar="SHARE", help="of the shards, for instance 10%%")
    fsck.add_argument("--repair", action="store_true", help="set damaged shards aside and build the index anew")
    gc = add("gc", store_commands.gc, "list the shards that no manifest and no run needs, or remove them")
    gc.add_argument("--apply", action="store_true", help="remove them; without it nothing is changed")
    gc.add_argument("--grace", type=_hours, default=24.0, metavar="HOURS", help="leave what is younger (default: 24)")
    export = add("export", exporting.export, "write the features as plain Parquet with a card, for other tools")
    export.add_argument("folder", type=Path, metavar="DIR")
    store = add("store", store_commands.store, "store info: what the store holds; store compact: merge small shards")
    store.add_argument("target", choices=["info", "compact"], metavar="info|compact")


if __name__ == "__main__":
    raise SystemExit(main())
