"""``bigfusion app``: predict recordings on a page in the browser."""

from __future__ import annotations

import argparse
import logging
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.flows.commands.predict import chosen_model
from bigfusion.pipeline.errors import SettingsError

HELP = "open a page in the browser on which recordings are uploaded and predicted"

log = logging.getLogger("bigfusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `app` takes."""
    parser.add_argument(
        "--run", dest="trained", type=Path, metavar="RUN", help="a run's id or folder (default: current)"
    )
    parser.add_argument("--model", type=str, metavar="DIR", help="a published model: its folder, or its id on the hub")
    parser.add_argument("--port", type=int, default=7860, help="of the page, on this machine alone (default: 7860)")


def run(common: Common, trained: Path | None, model: str | None, port: int) -> Answer:
    """Serve the page until interrupted. Uploaded recordings and files are removed at the end."""
    from bigfusion.flows.project import app_page

    app_page.gradio()  # before the model is loaded, which takes longer
    import uvicorn

    found = chosen_model(common, trained, model)
    _check_free(app_page.HOST, port)
    with TemporaryDirectory(prefix="bigfusion-app-") as folder:
        page = app_page.application(found, Path(folder).resolve(), port)
        log.info("app: http://%s:%d; Ctrl-C ends it", app_page.HOST, port)
        uvicorn.run(page, host=app_page.HOST, port=port, log_level="warning")
    return Answer("app: ended", {"port": port})


def _check_free(host: str, port: int) -> None:
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((host, port))
        except (OSError, OverflowError) as error:
            raise SettingsError(f"app: port {port}: cannot be used ({error}); name another with --port") from None
