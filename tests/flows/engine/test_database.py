"""An empty Prefect database is built once and copied from then on."""

import sqlite3
from contextlib import closing

import pytest

from bigfusion.flows.engine import configuration, database, session
from bigfusion.flows.project.workspace import Workspace, WorkspaceSettings


@pytest.fixture
def homes(tmp_path, monkeypatch):
    """Two new homes, and a cache folder that holds nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    configuration.set_defaults()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    return tmp_path / "one", tmp_path / "two"


def schema(path) -> list[str]:
    with closing(sqlite3.connect(path)) as found:
        return sorted(row[0] for row in found.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))


@pytest.mark.slow
def test_a_command_in_a_second_project_gets_a_copy_that_the_server_takes_as_it_is(homes):
    """It first frees the slots of a killed command. That once made an empty database, and the server built its own."""
    one, two = (Workspace(WorkspaceSettings(path=home)) for home in homes)
    with session._of_our_own(one, lambda: None):
        pass
    with closing(sqlite3.connect(database.template())) as kept:
        kept.execute("CREATE TABLE copied (id)")
    with session._of_our_own(two, lambda: None):
        pass
    built, copied = (schema(workspace.prefect_home / database.DATABASE) for workspace in (one, two))
    assert copied == sorted([*built, "CREATE TABLE copied (id)"])


@pytest.mark.parametrize("found", [None, b""], ids=["no file", "an empty one"])
def test_slots_that_were_never_taken_are_no_database(homes, found):
    one, two = homes
    with closing(sqlite3.connect(one / database.DATABASE)) as made:
        made.executescript("CREATE TABLE flow_run (id TEXT)")
    database.keep(one)
    if found is not None:
        (two / database.DATABASE).write_bytes(found)
    database.free_slots(two)
    assert not database.lay(two), "the copy is taken"
    assert schema(two / database.DATABASE) == schema(one / database.DATABASE)


def test_a_home_that_has_a_database_keeps_it(homes):
    one, _ = homes
    (one / database.DATABASE).write_bytes(b"mine")
    assert not database.lay(one)
    assert (one / database.DATABASE).read_bytes() == b"mine"


@pytest.mark.parametrize("fault", ["damaged", "with runs", "absent"])
def test_what_is_not_an_empty_database_is_not_copied(homes, fault):
    one, two = homes
    with closing(sqlite3.connect(one / database.DATABASE)) as made:
        made.executescript("CREATE TABLE flow_run (id TEXT); CREATE TABLE log (line TEXT);")
    if fault != "absent":
        database.keep(one)
        assert not database.lay(two)
        (two / database.DATABASE).unlink()
    if fault == "damaged":
        database.template().write_bytes(database.template().read_bytes()[:5000])
    if fault == "with runs":
        with closing(sqlite3.connect(database.template())) as kept:
            kept.execute("INSERT INTO flow_run VALUES ('a')")
            kept.commit()
    assert database.lay(two)
    assert not (two / database.DATABASE).exists()
