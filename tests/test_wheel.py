"""The wheel alone, without the checkout: installed into an empty environment it runs the demo."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
ROOMS = ("pipeline", "extractors", "model", "flows")
CACHES = shutil.ignore_patterns("__pycache__", "*.pyc")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not UV.exists(), reason="needs uv beside Python (make .venv)")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("source") / "bigfusion"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    for name in (*ROOMS, "bigfusion"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=CACHES)
    out = copy.parent / "dist"
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(copy))
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (built,) = out.glob("bigfusion-*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_else(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]
    kept = {f"bigfusion/{path.relative_to(ROOT)}" for path in paths if path.suffix != ".pyc"}
    assert held == kept | {"bigfusion/__init__.py", "bigfusion/__init__.pyi"}


def test_installed_into_an_empty_environment_it_runs_the_demo(wheel, tmp_path):
    place, venv = tmp_path / "elsewhere", tmp_path / "venv"
    place.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin/python"
    install = ("pip", "install", "--quiet", "--python", str(python), "--constraint", str(ROOT / "requirements.in"))
    installed = subprocess.run([UV, *install, f"{wheel}[demo]"], capture_output=True, text=True, check=False)
    if "error sending request" in installed.stderr or "Could not connect" in installed.stderr:
        pytest.skip("the package index cannot be reached")
    assert installed.returncode == 0, installed.stderr
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PREFECT"))}

    def run(*command: str) -> str:
        ran = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout + ran.stderr

    where = run(str(python), "-c", "import bigfusion; print(bigfusion.__file__)")
    assert Path(where.splitlines()[0]).is_relative_to(venv), "the checkout must not be what is imported"
    bigfusion = str(venv / "bin/bigfusion")
    assert "bigfusion " in run(bigfusion, "--version")
    settings = ("--set", "train.seeds=[0]", "--set", "train.epochs=2", "--set", "visual.frames_per_second=1")
    assert "test split: " in run(bigfusion, "demo", *settings)
    assert "nothing to do" in run(bigfusion, "demo", *settings)
    metrics = json.loads(next(place.glob("demo/work/runs/*/metrics.json")).read_bytes())
    assert 0 <= metrics["weighted_f1"] <= 1
