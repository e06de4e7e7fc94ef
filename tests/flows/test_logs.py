"""What reaches the screen is ours: libraries' own lines do not, unless they are asked for."""

import os
import subprocess
import sys

import pytest

SPEAKING = """
import logging
from bigfusion.flows import logs
from bigfusion.flows.engine.configuration import set_defaults
logs.set_up(debug={debug}, as_json=False)
set_defaults()
{more}
logging.getLogger("urllib3.connectionpool").warning("Retrying (Retry(total=4))")
logging.getLogger("EventsWorker").warning("Still processing items")
logs.log.warning("ours")
"""
WITH_PREFECT = "import prefect; from prefect.logging.configuration import setup_logging; setup_logging()"


def said(debug: bool, more: str) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    code = SPEAKING.format(debug=debug, more=more)
    return subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True).stderr


@pytest.mark.parametrize("more", ["", WITH_PREFECT], ids=["plain", "with Prefect"])
def test_the_retries_of_libraries_stay_off_the_screen(more):
    assert said(False, more) == "ours\n"


def test_debug_shows_them():
    assert "Retrying" in said(True, "")
