"""The page of ``bigfusion app``: upload a recording and its transcript, see the timeline, take the files away.

It calls what `bigfusion predict` calls. It is served on this machine alone, and the browser is told to load nothing
from anywhere else.
"""

from __future__ import annotations

import os
import secrets
import shutil
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bigfusion.flows.project import prediction_files
from bigfusion.model.report.paper import network_title
from bigfusion.pipeline.errors import BigFusionError, SettingsError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from bigfusion.flows.project.trained import Model

HOST = "127.0.0.1"
PAGES = "/pages"
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self'; form-action 'self'"
"""What a browser lets the page do. Gradio's own page needs inline scripts; other hosts it does not need."""

_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")


def gradio() -> Any:
    """Gradio, told before it is imported to report to nobody.

    Raises:
        SettingsError: the extra ``app`` is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        return import_module("gradio")
    except ImportError as error:
        raise SettingsError(f"app: expected the package gradio, found {error}; run pip install -e '.[app]'") from None


def application(model: Model, folder: Path, port: int) -> FastAPI:
    """The web application. ``folder`` takes the uploaded recordings and the files made from them."""
    from fastapi import FastAPI, Request, Response
    from fastapi.staticfiles import StaticFiles

    gr = gradio()
    app = FastAPI(openapi_url=None)

    @app.middleware("http")
    async def own_files_alone(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    app.mount(PAGES, StaticFiles(directory=folder), name="pages")
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        _blocks(gr, model, folder),
        path="/",
        server_name=HOST,
        server_port=port,
        theme=gr.themes.Base(font=_FONTS, font_mono=("ui-monospace", "monospace")),
        footer_links=[],
        ssr_mode=False,
        enable_monitoring=False,
    )
    return mounted


def _blocks(gr: Any, model: Model, folder: Path) -> Any:
    origin = model.origin
    with gr.Blocks(title="bigfusion", analytics_enabled=False, fill_width=True) as blocks:
        gr.Markdown("# Emotions over time")
        by = f"Labels by model {origin.model}, {network_title(origin.network)} trained on {origin.corpus}."
        gr.HTML(f"<p>{escape(by)}</p>")
        with gr.Row():
            media = gr.File(label="Video or sound file", elem_id="media")
            transcript = gr.File(label="Transcript (srt, vtt, json, TextGrid, eaf, csv)", elem_id="transcript")
        button = gr.Button("Predict", variant="primary", elem_id="predict", interactive=False)
        page = gr.HTML(elem_id="page")
        files = gr.Files(label="Files", elem_id="files", interactive=False)

        def predicted(media: str | None, transcript: str | None) -> tuple[str, list[str]]:
            if media is None:
                raise gr.Error("Choose a video or a sound file first.", print_exception=False)
            try:
                made = written(model, Path(media), Path(transcript) if transcript else None, folder)
            except BigFusionError as error:
                raise gr.Error(escape(str(error)), duration=None, print_exception=False) from None
            return _frame(made[prediction_files.PAGE], folder), [str(path) for path in made.values()]

        def ready(media: str | None) -> Any:
            return gr.Button(interactive=media is not None)

        media.change(ready, media, button, queue=False, show_progress="hidden", api_visibility="private")
        button.click(predicted, [media, transcript], [page, files], api_visibility="private")
    return blocks


def written(model: Model, media: Path, transcript: Path | None, folder: Path) -> dict[str, Path]:
    """Predict one recording. Its files lie in a new folder inside ``folder``, beside a copy of the recording.

    Raises:
        BigFusionError: the recording or the transcript cannot be used.
    """
    own = folder / secrets.token_urlsafe(16)
    own.mkdir(parents=True)
    try:
        recording = Path(shutil.copy2(media, own / media.name))
        prediction = model.timelines(recording, [transcript] if transcript else ())
        return prediction_files.write(prediction.timelines[0], own)
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise


def _frame(page: Path, folder: Path) -> str:
    address = f"{PAGES}/{quote(page.relative_to(folder).as_posix())}"
    style = "width: 100%; height: min(1500px, 170vh); border: 0; background: none"
    return (
        f'<p><a href="{address}" target="_blank">The page alone</a></p>'
        f'<iframe src="{address}" title="timeline" style="{style}" allow="fullscreen"></iframe>'
    )
