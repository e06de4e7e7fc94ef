"""What 13,708 clips, a million and a hundred million need, from measured rates; docs/capacity.md is this table.

Run from the project's root: python -m tests.benchmarks.capacity [text=CORE_MS audio=... visual=... run=CORE_S], with
rates of your own: a shard's metadata says how many seconds its cells took.
"""

from __future__ import annotations

import sys

from bigfusion.flows.project.rates import INDEX_BYTES, RATES, Rate

CORES, CHUNK = 16, 64


MANIFEST_BYTES = 71  # an utterance of a million (file)
MANIFEST_MEMORY = 774  # bytes an utterance: Arrow table and pandas frame
RUN_CORE_S = 4.2  # of a core, for a partition's run that finds nothing to do: bench_workers.py


def rows(clips: int, rates: dict[str, Rate], run: float) -> list[tuple[str, str]]:
    """What ``clips`` clips need, as names and values.

    Every core takes one partition of each modality, whose run costs ``run`` seconds beside its cells.
    """
    core_hours = sum(rate.core_ms for rate in rates.values()) * clips / 3.6e6
    cells, starts = clips * len(rates), run * len(rates) / 3600
    return [
        ("cells", f"{cells:,}"),
        ("shards", _bytes(sum(rate.bytes for rate in rates.values()) * clips)),
        (f"shard files, chunks of {CHUNK}", f"{cells // CHUNK:,}"),
        ("index of a machine", _bytes(INDEX_BYTES * cells)),
        ("manifest, file", _bytes(MANIFEST_BYTES * clips)),
        ("manifest, in memory", _bytes(MANIFEST_MEMORY * clips)),
        ("core hours of the cells", f"{core_hours:,.0f}"),
        *(
            (
                f"{n} machine{'s' * (n > 1)} of {CORES} cores: hours, share of it that starts runs",
                f"{core_hours / CORES / n + starts:,.2f}, {100 * starts / (core_hours / CORES / n + starts):.0f} %",
            )
            for n in (1, 10, 100)
        ),
    ]


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.3g} {unit}"
        number /= 1000
    raise AssertionError


def main() -> None:
    """Print the table."""
    given = dict(argument.split("=") for argument in sys.argv[1:])
    rates = {name: Rate(float(given.get(name, rate.core_ms)), rate.bytes) for name, rate in RATES.items()}
    run = float(given.get("run", RUN_CORE_S))
    columns = [rows(clips, rates, run) for clips in (13_708, 1_000_000, 100_000_000)]
    print("| | 13,708 clips (MELD) | a million | a hundred million |\n|---|---|---|---|")
    for found in zip(*columns, strict=True):
        print(f"| {found[0][0]} | {' | '.join(value for _, value in found)} |")


if __name__ == "__main__":
    main()
