import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.tables.times import seconds


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("83.5", 83.5), ("0", 0), ("+1", 1), (".5", 0.5), ("1e2", 100), ("1:23.5", 83.5), ("01:23", 83),
        ("90:00", 5400),
        ("00:01:23,500", 83.5), ("1:02:03", 3723), ("00:00:00,001", 0.001), ("10:00:00.25", 36000.25), ("1,5", 1.5),
    ],
)  # fmt: skip
def test_times_that_are_read(cell, expected):
    assert seconds(cell) == expected


@pytest.mark.parametrize(
    "cell",
    ["soon", "-1", "nan", "inf", "1_000", "1:60", "1:60:00", "0:00:61", "1:2:3:4", "1:", ":30", "1.234,5", "1,500",
     "1 5", "1:-2", "1e400", "00:01:23;12", "٣", "5s"],
)  # fmt: skip
def test_what_is_no_time_or_may_be_two(cell):
    assert seconds(cell) is None


def test_nothing_is_nan_and_a_semicolon_table_has_decimal_commas():
    assert math.isnan(seconds(""))
    assert seconds("12,345", decimal_comma=True) == 12.345


@given(st.integers(0, 99 * 3600 * 1000))
def test_all_three_ways_of_writing_say_the_same_as_datetime(milliseconds):
    whole, rest = divmod(milliseconds, 1000)
    minutes, second = divmod(whole, 60)
    expected = datetime.timedelta(milliseconds=milliseconds).total_seconds()
    clock = f"{minutes // 60:02}:{minutes % 60:02}:{second:02}"
    for cell in (f"{clock},{rest:03}", f"{clock}.{rest:03}", f"{whole}.{rest:03}"):
        assert seconds(cell) == expected
    if minutes < 10000:
        assert seconds(f"{minutes}:{second:02}.{rest:03}") == expected
