"""Which settings enter a fingerprint: those that change numbers and differ from their first default."""

from collections import Counter
from typing import ClassVar, Literal

import pytest
from pydantic import Field

from bigfusion.extractors.text.encoder import TextSettings
from bigfusion.model.network_settings.bigfusion import BigFusionSettings, GraphSettings
from bigfusion.model.settings import TrainSettings
from bigfusion.pipeline import settings
from bigfusion.pipeline.settings import Settings
from tests.helpers.first_defaults import missing, settings_classes


class Inner(Settings):
    weight: float = 0.5
    rows: tuple[tuple[int, int], ...] = ((1, 2),)


class First(Settings):
    kind: Literal["first"] = "first"
    run_only: ClassVar[frozenset[str]] = frozenset({"threads"})

    name: str
    rate: float = 5
    threads: int = 1
    inner: Inner = Inner()
    strong: Inner = Inner(weight=2)
    late: int | None = Field(default=None)


FIRST = {
    "Inner.weight": 0.5, "Inner.rows": [[1, 2]],
    "First.kind": "first", "First.rate": 5, "First.threads": 1, "First.inner": {}, "First.strong": {"weight": 2.0},
}  # fmt: skip


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "first_defaults", lambda: FIRST | {})


def test_only_what_differs_from_its_first_default_counts() -> None:
    plain = {"kind": "first", "name": "x"}
    assert First(name="x").numbers() == plain
    assert First(name="x", rate=5.0, threads=7, inner=Inner(rows=((1, 2),))).numbers() == plain
    assert First(name="x", rate=6, late=3).numbers() == plain | {"rate": 6.0, "late": 3}
    assert First(name="x", inner=Inner(weight=1)).numbers() == plain | {"inner": {"weight": 1.0}}
    assert First(name="x", strong=Inner()).numbers() == plain | {"strong": {}}


def test_a_changed_default_counts_and_the_first_one_then_does_not() -> None:
    class Changed(Settings):
        rate: float = 6
        inner: Inner = Inner()

    FIRST["Changed.rate"] = 5
    assert Changed().numbers() == {"rate": 6.0}
    assert Changed(rate=5).numbers() == {}


def test_a_changed_default_counts_wherever_it_is_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "first_defaults", lambda: FIRST | {"Inner.weight": 0.25})
    assert First(name="x").numbers()["inner"] == {"weight": 0.5}


def test_of_the_real_settings_those_of_the_machine_never_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert TrainSettings(seeds=(7,), device="cpu", threads=3).numbers() == TrainSettings().numbers() == {}
    assert TrainSettings(epochs=3).numbers() == {"epochs": 3}
    assert BigFusionSettings(width=64, graph=GraphSettings(layers=2)).numbers() == {
        "kind": "bigfusion",
        "width": 64,
        "graph": {"layers": 2},
    }
    assert TextSettings(model="other/encoder", device="cpu").numbers() == {}, "the weights' digests say which encoder"


def test_every_setting_has_its_first_default_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert missing() == {}, "run `make defaults` and commit pipeline/first_defaults.json with the new settings"


def test_no_two_settings_classes_have_one_name() -> None:
    names = Counter(kind.__name__ for kind in settings_classes())
    assert [name for name, number in names.items() if number > 1] == [], "their first defaults would be mixed up"
