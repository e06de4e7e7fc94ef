import shutil
from dataclasses import replace

import pytest

from bigfusion.flows.engine import configuration
from bigfusion.pipeline.demo.build import build
from tests.helpers.small_project import CONFIG, Place

configuration.set_defaults()  # before Prefect is imported


@pytest.fixture(scope="session", autouse=True)
def prefect():
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory, prefect) -> Place:
    """The whole road on a small demo corpus with every kind of bad media, once for all tests. Not to be changed."""
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
