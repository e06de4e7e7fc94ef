"""Memory does not grow with the clips that went through a speech encoder: measured in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bigfusion.extractors.audio.speech_encoder import KERNELS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and glibc's allocator")

COURSE = """
import gc, itertools, sys
from pathlib import Path
from bigfusion.extractors.compute import give_back
from tests.benchmarks.bench_encoders import private, small, spans

made, endless = small(sys.argv[1], Path(sys.argv[2])), spans(sys.argv[1], Path(sys.argv[2]))
def after(clips):
    made.extract(list(itertools.islice(endless, clips)))
    gc.collect()
    give_back()
    return private()
print(after(30), after(200))
"""
MOST = 16.0
"""MiB that 200 clips may leave. It was 9, and 25 with all kernels that PyTorch's library would keep."""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["wavlm", "whisper-ct2"])
def test_two_hundred_clips_of_as_many_lengths_leave_nothing_in_memory(family: str, tmp_path: Path) -> None:
    if family == "whisper-ct2":
        pytest.importorskip("ctranslate2")
        pytest.importorskip("faster_whisper")
    alone = {name: value for name, value in os.environ.items() if name != KERNELS} | {"OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", COURSE, family, str(tmp_path)], env=alone, capture_output=True, text=True, check=True
    )
    before, then = map(float, found.stdout.split())
    assert then - before < MOST, found.stdout
