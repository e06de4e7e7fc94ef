"""The stored table is printed without the network's libraries."""

import subprocess
import sys


def test_a_stored_table_is_printed_without_torch():
    script = (
        "import sys, bigfusion.model.report.table\n"
        "print(*{'torch', 'torch_geometric', 'transformers', 'pandas', 'pyarrow', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
