"""Encoders by folder, package or hub: what is not there, not whole or not safe is one clear line, and soon."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from safetensors.torch import load_file, save_file

from bigfusion.extractors import checkpoints
from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.text import pretrained
from bigfusion.extractors.text.pretrained import load, locate
from bigfusion.pipeline.errors import ExtractionError
from tests.helpers.tiny_encoder import save_roberta

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_roberta(tmp_path / "model", layers=1)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A hub with an empty cache; the test says where it answers."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return monkeypatch


def one_line(caught: pytest.ExceptionInfo[ExtractionError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    assert "expected" in message
    assert "found" in message
    return message


def test_a_folder(folder: Path) -> None:
    model, tokenizer = load(locate(str(folder), None), torch.float32)
    assert not model.training
    assert tokenizer("What?")["input_ids"][0] == 0


@pytest.mark.parametrize("name", ["/nowhere/model", "./nowhere", "~/nowhere", "nowhere", "a/b/c", "../up"])
def test_a_folder_that_is_not_there(name: str) -> None:
    with pytest.raises(ExtractionError) as caught:
        locate(name, None)
    assert name in one_line(caught)


@pytest.mark.parametrize("name", ["package:no_such_package_here/model", "package:no_such/", "package:"])
def test_a_package_that_is_not_there(name: str) -> None:
    with pytest.raises(ExtractionError) as caught:
        locate(name, None)
    assert "pip install" in one_line(caught)


@pytest.mark.parametrize("inside", ["nothing", "../numpy"])
def test_a_package_without_the_folder(inside: str) -> None:
    with pytest.raises(ExtractionError) as caught:
        locate(f"package:numpy/{inside}", None)
    assert inside in one_line(caught)


def test_a_folder_with_a_pickle_is_refused_unread(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ExtractionError) as caught:
        locate(str(folder), None)
    assert "safetensors" in one_line(caught)


def test_weights_that_are_not_all_there(folder: Path) -> None:
    """transformers would fill the gap with random numbers."""
    state = load_file(folder / "model.safetensors")
    del state["roberta.encoder.layer.0.attention.self.query.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExtractionError) as caught:
        load(locate(str(folder), None), torch.float32)
    assert "query.weight" in one_line(caught)


def test_weights_of_another_shape(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["roberta.embeddings.word_embeddings.weight"] = torch.zeros(7, 32)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExtractionError) as caught:
        load(locate(str(folder), None), torch.float32)
    one_line(caught)


@pytest.mark.parametrize("part", ["model.safetensors", "config.json", "tokenizer.json"])
def test_damaged_files(folder: Path, part: str) -> None:
    (folder / part).write_bytes((folder / part).read_bytes()[:40])
    with pytest.raises(ExtractionError) as caught:
        load(locate(str(folder), None), torch.float32)
    one_line(caught)


def test_something_that_is_no_encoder(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(ExtractionError) as caught:
        load(locate(str(folder), None), torch.float32)
    one_line(caught)


def test_loading_prints_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load(locate(str(folder), None), torch.float32)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


@contextmanager
def serve(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A hub on this machine with one model, ``owner/name``, out of ``folder``; yields the paths it was asked for."""
    from huggingface_hub import constants

    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def do_GET(self, body: bool = True) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            file = folder / path.rpartition("/")[2]
            parts = {part.name: part.read_bytes() for part in folder.iterdir()}
            if "owner/name" not in path:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.end_headers()
                return
            if "/tree/" in path:
                rows = [
                    {"type": "file", "path": name, "size": len(content), "oid": sha1(content).hexdigest()}
                    for name, content in parts.items()
                ]
                answer = json.dumps(rows).encode()
            elif path.startswith("/api/"):
                siblings = [{"rfilename": name} for name in parts]
                answer = json.dumps({"id": "owner/name", "sha": COMMIT, "siblings": siblings}).encode()
            else:
                answer = parts[file.name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{sha1(answer).hexdigest()}"')
            self.end_headers()
            if body:
                self.wfile.write(answer)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    address = f"http://127.0.0.1:{server.server_port}"
    patch.setattr(constants, "ENDPOINT", address)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TestHub:
    def fails(self, name: str = "owner/name", revision: str | None = None) -> tuple[str, float]:
        began = time.monotonic()
        with pytest.raises(ExtractionError) as caught:
            load(locate(name, revision), torch.float32)
        return one_line(caught), time.monotonic() - began

    def test_nobody_answers(self, hub: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        hub.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        message, seconds = self.fails()
        assert "connected machine" in message
        assert seconds < 5

    def test_somebody_takes_the_call_and_says_nothing(self, hub: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        for module in (checkpoints, pretrained):
            hub.setattr(module, "PROBE_SECONDS", 0.5)
        with socket.create_server(("127.0.0.1", 0)) as server:
            hub.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
            message, seconds = self.fails()
        assert "connected machine" in message
        assert seconds < 4

    def test_offline_by_wish(self, hub: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        hub.setattr(constants, "HF_HUB_OFFLINE", True)
        message, seconds = self.fails()
        assert "connected machine" in message
        assert seconds < 2

    def test_a_model_is_downloaded_once_and_without_its_pickle(self, hub: pytest.MonkeyPatch, folder: Path) -> None:
        torch.save({}, folder / "pytorch_model.bin")
        with serve(folder, hub) as asked:
            model, tokenizer = load(locate("owner/name", None), torch.float32)
            assert model.config.hidden_size == 32
            assert tokenizer("What?")["input_ids"][0] == 0
            assert not [path for path in asked if path.endswith("pytorch_model.bin")]
            first = len(asked)
            again = locate("owner/name", None)
            load(again, torch.float32)
            assert len(asked) == first  # the cache says what main stands for
            assert again.revision == COMMIT
            assert locate("owner/name", COMMIT).digests(sha256_of) == again.digests(sha256_of)
            load(locate("owner/name", COMMIT), torch.float32)
            assert len(asked) == first

    def test_a_model_that_has_only_a_pickle(self, hub: pytest.MonkeyPatch, folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with serve(folder, hub) as asked:
            assert "safetensors" in self.fails()[0]
            assert not [path for path in asked if "resolve" in path]

    def test_a_model_that_the_hub_does_not_know(self, hub: pytest.MonkeyPatch, folder: Path) -> None:
        with serve(folder, hub):
            assert "correct the name" in self.fails("owner/other")[0]

    def test_a_model_in_the_cache_needs_no_hub(self, hub: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from huggingface_hub import constants

        hub.setattr(constants, "HF_HUB_OFFLINE", True)
        repository = Path(constants.HF_HUB_CACHE) / "models--owner--name"
        save_roberta(repository / "snapshots" / COMMIT, layers=1)
        model, _ = load(locate("owner/name", COMMIT), torch.float32)
        assert model.config.hidden_size == 32
        (repository / "snapshots" / COMMIT / "model.safetensors").unlink()
        assert "download it" in self.fails(revision=COMMIT)[0]
