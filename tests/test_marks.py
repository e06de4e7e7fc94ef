"""`make test-slow` collects the files that name a mark of its own, so that a mark may stand nowhere else."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
MARK = re.compile(r"mark\.(slow|services)\b")


def test_slow_tests_are_marked_in_their_own_files():
    marked = [path for path in TESTS.rglob("*.py") if MARK.search(path.read_text())]
    assert len(marked) > 50
    assert [path for path in marked if not path.name.startswith("test_")] == [], "make test-slow would not see these"
