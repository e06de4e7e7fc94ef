import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables.tables import read_table

WANTED = ("dialogue", "turn", "text")
ROWS = [["dialogue", "turn", "text"], ["d1", "0", "Hello; you, there"], ["d1", "1", "Yes"]]


def written(delimiter: str, rows=ROWS, **options) -> str:
    sink = io.StringIO()
    csv.writer(sink, delimiter=delimiter, **options).writerows(rows)
    return sink.getvalue()


def read(tmp_path, text, name="t.csv", **settings):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, WANTED, **settings)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "t.TAB"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_shows_the_delimiter_whatever_the_name_says(tmp_path, name, delimiter):
    table = read(tmp_path, written(delimiter), name)
    assert list(table.columns.values()) == [["d1", "d1"], ["0", "1"], ["Hello; you, there", "Yes"]]
    assert (table.delimiter, table.lines) == (delimiter, [2, 3])


def test_excel_s_unicode_text(tmp_path):
    table = read(tmp_path, written("\t").encode("utf-16"), "t.txt")
    assert table.columns["text"] == ["Hello; you, there", "Yes"]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "sep=;;;"])
def test_excel_s_first_line_names_the_delimiter(tmp_path, first):
    table = read(tmp_path, f"{first}\r\n" + written(";"))
    assert table.columns["text"] == ["Hello; you, there", "Yes"]
    assert table.lines == [3, 4], "lines of the file"
    with pytest.raises(CorpusError, match=r"row 1 \(line 3\): expected 3 cells, found 2"):
        read(tmp_path, f"{first}\r\ndialogue;turn;text\r\nd;1\r\n")
    with pytest.raises(CorpusError, match=r"expected cells separated by ',' .*found the first line"):
        read(tmp_path, f"{first}\r\n" + written(";"), delimiter=",")


def test_the_setting_names_any_delimiter(tmp_path):
    assert read(tmp_path, written("^"), delimiter="^").columns["turn"] == ["0", "1"]


def test_rows_without_a_single_cell_are_passed_over(tmp_path):
    text = "dialogue;turn;text\nd;1;a\n;;\n\n ; ;\nd;2;b\n"
    assert read(tmp_path, text).columns["text"] == ["a", "b"]
    assert read(tmp_path, text).lines == [2, 6]


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("between", ["", "d1 2 no", "\n"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 2, 1)])
def test_a_quotation_over_rows_is_refused_with_its_lines(tmp_path, delimiter, between, order):
    rows = ["dialogue turn text", "d1 0 Yes", 'd1 1 "I_am_sorry.', between, 'd1 3 I_see."']
    text = "\n".join(delimiter.join(row.split(" ")[place] for place in order) if row.strip() else row for row in rows)
    with pytest.raises(CorpusError, match=r"row 2 \(lines 3 to [56]\): expected a row on each of these lines"):
        read(tmp_path, text)


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("said", ["Yes\nno, no, no", "Yes\nno,no,no", 'He said\r\n"a,b,c"', "1\n, 2, 3", "\n,,x\n,,y"])
@pytest.mark.parametrize("more", [[], [["d2", "5", " 1, 2"], ["d2", "6", ""]]])
def test_a_cell_of_several_lines_may_hold_as_many_delimiters_as_a_row(tmp_path, quoting, said, more):
    table = read(tmp_path, written(",", [ROWS[0], ["d1", "0", said], *more], quoting=quoting))
    assert table.columns["text"][0] == said


@pytest.mark.parametrize("columns", [(0, 1), (1, 0), (0, 1, 2), (1, 2), (1,)])
@pytest.mark.parametrize("said", ["Well,\nI think", "Hi.\nWell, you", "I paid 1,000\nfor it, yes"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_table_that_quotes_its_cells_may_have_texts_of_several_lines(tmp_path, quoting, said, columns):
    rows = [["media", "text", "label"], ["a", said, "joy"], ["b", "yes", " "], ["c", "x", "sad"]]
    rows += [["d", "No, never", "sad"]] if quoting == csv.QUOTE_MINIMAL else []
    table = read(tmp_path, written(",", [[row[place] for place in columns] for row in rows], quoting=quoting))
    assert table.columns["text"][0] == said


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_durations_in_parquet_are_seconds_whatever_their_unit(tmp_path, unit):
    path = tmp_path / "t.parquet"
    count = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}[unit]
    counts = [3600 * count, count * 3 // 2, 0, None]
    pq.write_table(pa.table({"start": pa.array(counts, pa.duration(unit))}), path)
    assert read_table(path, ["start"]).columns["start"] == ["3600", "1" if unit == "s" else "1.5", "0", ""]


def test_a_duration_of_more_digits_than_a_float_holds_is_rounded(tmp_path):
    pq.write_table(pa.table({"start": pa.array([2**53 + 1], pa.duration("ns"))}), tmp_path / "t.parquet")
    assert float(read_table(tmp_path / "t.parquet", ["start"]).columns["start"][0]) == pytest.approx(2**53 / 1e9)


def test_a_spreadsheet_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(CorpusError, match="save the sheet as CSV"):
        read(tmp_path, "PK", "t.xlsx")


def test_names_of_columns_meet_in_either_form(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("e\u0301tat,turn\nx,1\n", encoding="utf-8")
    assert read_table(path, ["état"]).columns == {"état": ["x"]}


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\0\x1b"), max_size=8)] * 3), max_size=6
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_csv_writes_is_read_back(tmp_path_factory, rows, delimiter, encoding):
    text = written(delimiter, [list(WANTED), *rows], quoting=csv.QUOTE_ALL)
    table = read(tmp_path_factory.getbasetemp(), text.encode(encoding))
    filled = [row for row in rows if any(map(str.strip, row))]
    assert list(zip(*table.columns.values(), strict=True)) == filled
