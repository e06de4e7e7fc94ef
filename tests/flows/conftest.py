import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows import cli
from pipeline.demo.build import build

CONFIG = """
preset = "demo"

[model]
width = 16
heads = 2
modalities = ["text", "audio", "visual"]

[train]
seeds = [0, 1]
epochs = 2

[visual]
frames_per_second = 1.0

[extract]
chunk_size = 16
"""


@pytest.fixture(scope="session", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=180):
        yield


@dataclass(frozen=True)
class Place:
    """A project in a folder, and the command line on it."""

    folder: Path
    capsys: pytest.CaptureFixture[str] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "bigfusion.toml"

    @property
    def corpus(self) -> Path:
        return self.folder / "MELD.Raw"

    def run(self, command: str, *arguments: str) -> int:
        return cli.main([command, *arguments, "--config", str(self.config)])

    def shards(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.folder / "work/store").rglob("*.parquet"))}


@pytest.fixture(scope="session")
def finished(tmp_path_factory, prefect) -> Place:
    """The whole road on a small demo corpus (6 dialogues, every kind of bad media), once for all tests. Not to be changed."""
    place = Place(tmp_path_factory.mktemp("finished"))
    build(place.corpus, dialogues=2)
    place.config.write_text(CONFIG)
    assert place.run("run") == 0
    return place


@pytest.fixture
def place(finished, tmp_path, capsys) -> Place:
    """A copy of the finished project, elsewhere, to be changed."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    capsys.readouterr()
    return replace(finished, folder=tmp_path / "copy", capsys=capsys)
