"""docs/production.md: what it tells people to type is something that the commands take."""

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.automations import Automation
from prefect.blocks.notifications import SlackWebhook
from prefect.cli._app import _app as prefect_cli  # its argument parser is not public

from bigfusion.flows.commands.parser import parse
from bigfusion.flows.project.load import load
from bigfusion.flows.project.settings import ExtractSettings
from bigfusion.flows.stages.chunks import chunk
from bigfusion.flows.stages.train import train_seed

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/production.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SHELL = [text for language, text in BLOCKS if not language]


def typed(program: str) -> list[list[str]]:
    """The arguments of every call of ``program`` in a block or, in one piece, in the text."""
    lines = [line for text in SHELL for line in text.splitlines()]
    lines += [part for part in re.findall(r"`([^`\n]+)`", PAGE) if " " in part]
    words = [shlex.split(line, comments=True) for line in lines]
    return [[word for word in line[1:] if word != "&"] for line in words if line[:1] == [program]]


@pytest.mark.parametrize("text", SHELL, ids=lambda text: text.split("\n")[0][:40])
def test_a_shell_takes_the_block(text):
    subprocess.run(["bash", "-n"], input=text, text=True, check=True, capture_output=True)


@pytest.mark.parametrize("arguments", typed("bigfusion"), ids=" ".join)
def test_bigfusion_takes_the_arguments(arguments):
    assert parse(arguments).command


@pytest.mark.parametrize("arguments", typed("prefect"), ids=" ".join)
def test_prefect_takes_the_arguments(arguments):
    command, *_ = prefect_cli.parse_args(arguments, exit_on_error=False, print_error=False)
    assert callable(command)


def test_what_may_pass_is_tried_as_often_as_the_page_says():
    (said,) = re.findall(r"tried again after ([\d, and]+) s if its error may pass", PAGE)
    seconds = [float(number) for number in re.findall(r"\d+", said)]
    assert seconds == train_seed.retry_delay_seconds == chunk.retry_delay_seconds
    assert train_seed.retries == ExtractSettings().retries == len(seconds)


def test_the_page_is_read_whole():
    assert len(typed("bigfusion")) >= 8
    assert len(typed("prefect")) >= 6
    assert {language for language, _ in BLOCKS} == {"", "toml", "python", "json"}


@pytest.mark.parametrize("table", [text for language, text in BLOCKS if language == "toml"])
def test_the_settings_are_settings(tmp_path, table):
    (tmp_path / "bigfusion.toml").write_text(f'preset = "meld"\n{table}')
    workspace = load(tmp_path / "bigfusion.toml").workspace
    for key, value in tomllib.loads(table)["workspace"].items():
        found = getattr(workspace, key)
        assert found == type(found)(value)


def test_the_volume_of_a_cache_takes_the_place_of_the_templates_line():
    (volume,) = [json.loads(text) for language, text in BLOCKS if language == "json"]
    template = json.loads((ROOT / "docker/kubernetes-base-job-template.json").read_text())
    volumes = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["volumes"]
    assert volumes[-1] == {"name": volume["name"], "emptyDir": {}}


def test_the_notification_is_an_automation_that_the_server_takes():
    (code,) = [text for language, text in BLOCKS if language == "python"]
    block = SlackWebhook(url="https://hooks.example/of-nobody").save(f"of-the-test-{uuid4().hex}")
    exec(code.replace("<id of a notification block>", str(block)), {})
    made = Automation.read(name="bigfusion: a run failed")
    assert made.actions[0].block_document_id == block
    made.delete()
