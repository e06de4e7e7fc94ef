"""docker/ against what the services test proves to work, and against what it says of itself. No engine is needed."""

import json
import re

import yaml
from services import ROOT, server_settings

COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
PASSWORD = "${POSTGRES_PASSWORD}"


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


def test_both_targets_run_as_a_user_and_copy_what_exists():
    targets = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    bases = {name: base for base, name in targets}
    for target in ("cpu", "gpu"):
        assert bases[target] == "runtime"
        assert COMPOSE["services"][f"worker-{target}"]["build"]["target"] == target
    runtime = DOCKERFILE.split(" AS runtime\n")[1].split("\nFROM ")[0]
    assert re.search(r"^USER 10001:10001$", runtime, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored or source.endswith(".lock")


def test_the_kubernetes_template_defines_what_it_uses():
    text = (ROOT / "docker/kubernetes-base-job-template.json").read_text()
    template = json.loads(text)
    assert set(re.findall(r"\{\{ (\w+) \}\}", text)) == set(template["variables"]["properties"])
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 10001
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/media"]["readOnly"]
    assert {mount["name"] for mount in mounts.values()} == {volume["name"] for volume in pod["volumes"]}
