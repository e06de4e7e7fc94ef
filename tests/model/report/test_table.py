"""The stored table is printed without the network's libraries."""

import subprocess
import sys

from bigfusion.model.report.wording import machine


def test_a_stored_table_is_printed_without_torch():
    script = (
        "import sys, bigfusion.model.report.table\n"
        "print(*{'torch', 'torch_geometric', 'transformers', 'pandas', 'pyarrow', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_machine_of_one_thread_is_named_so():
    assert [machine(f"A CPU, {n} threads") for n in (1, 11)] == ["A CPU, 1 thread", "A CPU, 11 threads"]
    assert machine("NVIDIA H200") == "NVIDIA H200"
