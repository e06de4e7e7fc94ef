"""The image `cpu`, built and run by an engine of this machine: minutes and gigabytes, so only where it is asked for.

    TORCH_INDEX=<torch's index of CPU builds> BIGFUSION_TEST_IMAGES=1 pytest tests/services/test_images.py

ENGINE and OPTIONS (of the build, docker/build.sh), GLOBAL_OPTIONS (of podman) and RUN_OPTIONS suit it to the machine.
"""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.services import ROOT

ENGINE = next((name for name in ("podman", "docker") if shutil.which(name)), "")
GLOBAL_OPTIONS = shlex.split(os.environ.get("GLOBAL_OPTIONS", ""))

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.skipif(
        "BIGFUSION_TEST_IMAGES" not in os.environ,
        reason="builds an image, for minutes: BIGFUSION_TEST_IMAGES=1 asks for it",
    ),
    pytest.mark.skipif(not ENGINE, reason="not installed here: podman and buildah, or docker"),
]


@pytest.fixture(scope="module")
def image() -> str:
    subprocess.run(["sh", "docker/build.sh"], check=True, cwd=ROOT)
    return "bigfusion:cpu"


def within(image: str, *command: str, volumes: dict[Path, str] | None = None, user: str = "") -> str:
    """What a command prints in a container of the image, which is removed after it; it reaches no network."""
    options = shlex.split(os.environ.get("RUN_OPTIONS", ""))
    options += [] if "--network" in options else ["--network", "none"]
    options += ["--user", user] if user else []
    for folder, target in (volumes or {}).items():
        options += ["--volume", f"{folder}:{target}"]
    call = [ENGINE, *GLOBAL_OPTIONS, "run", "--rm", *options, image, *command]
    ran = subprocess.run(call, check=False, capture_output=True, text=True, timeout=1800)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_image_runs_as_a_user_and_says_its_version(image):
    assert within(image, "id", "-u").strip() == "10001"
    assert within(image, "bigfusion", "--version").startswith("bigfusion ")


LEFT_OVER = """
for tool in cc gcc g++ make ld uv pytest mypy ruff git; do command -v $tool; done
ls -d /opt/venv/bin/pip* /root/.cache /home/bigfusion/.cache /opt/uv /build 2>/dev/null
find / -xdev \\( -name libcudart* -o -name libcublas* -o -name tests -path '*/pandas/*' \\) 2>/dev/null
find /var/lib/apt/lists /var/cache/apt /tmp -type f -size +0 2>/dev/null
true
"""


def test_no_compiler_no_installer_no_test_tool_no_cuda_and_no_cache_is_in_the_image(image):
    assert within(image, "sh", "-c", LEFT_OVER, user="0") == ""  # the image's own user does not see into /root


def test_torch_and_what_stands_on_it_import_without_cuda(image):
    script = (
        "import torch, torchvision.models, cv2, av, opensmile, onnxruntime, prefect_redis\nprint(torch.version.cuda)"
    )
    assert within(image, "python", "-c", script).strip() == "None"


def test_a_demo_runs_inside_with_its_store_on_a_volume(image, tmp_path):
    for name in ("project", "store"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    volumes = {tmp_path / "project": "/project", tmp_path / "store": "/store"}
    within(image, "bigfusion", "demo", "/project/demo", "--set", "workspace.store=/store", volumes=volumes)
    assert list((tmp_path / "store").rglob("*.*"))
    assert list((tmp_path / "project/demo").rglob("current.json"))


def said(*command: str) -> str:
    """What the engine says."""
    call = [ENGINE, *GLOBAL_OPTIONS, *command]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()


def test_the_images_history_does_not_name_torchs_index(image):
    history = said("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert "compileall" in history
    assert os.environ["TORCH_INDEX"] not in history


def test_after_a_change_to_the_code_alone_one_layer_is_new(image, tmp_path):
    """Built from a copy of the tracked files: what an engine compares is a file's content and mode, not its time."""
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name, follow_symlinks=False)
    with (tmp_path / "bigfusion/__init__.py").open("a") as code:
        code.write("CHANGED = True\n")
    before, layers = (
        said("image", "inspect", "--format", key, image) for key in ("{{.Id}}", "{{json .RootFS.Layers}}")
    )
    try:
        subprocess.run(["sh", "docker/build.sh"], check=True, cwd=tmp_path)
        after = json.loads(said("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
        assert "True" in within(image, "python", "-c", "import bigfusion\nprint(bigfusion.CHANGED)")
    finally:
        said("tag", before, image)
    assert after[:-1] == json.loads(layers)[:-1]
    assert after[-1] != json.loads(layers)[-1]
