"""Writes what the container installs: requirements.lock (exact files by SHA-256) and sbom.cdx.json
(CycloneDX).

    python deploy/lock.py

pip itself chooses the files, by constraints.txt, for the Python and the machine that this runs on: CPython
3.11 on
Linux x86-64, as deploy/Dockerfile has them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
EXTRAS = "serve,batch"


def resolved() -> list[dict[str, Any]]:
    """What pip would install, a package each, ours left out."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        subprocess.run(
            [
                sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
                "--report", report.name, "--constraint", str(ROOT / "constraints.txt"), f"{ROOT}[{EXTRAS}]",
            ],
            check=True,
        )  # fmt: skip
        packages = json.loads(Path(report.name).read_text())["install"]
    others = [p for p in packages if p["metadata"]["name"] != "ecgvlm"]
    return sorted(others, key=lambda p: p["metadata"]["name"].lower())


def sha256(package: dict[str, Any]) -> str:
    return package["download_info"]["archive_info"]["hashes"]["sha256"]


def lock(packages: list[dict[str, Any]]) -> str:
    lines = [f"# By deploy/lock.py, for ecgvlm[{EXTRAS}] on CPython 3.11, Linux x86-64.\n"]
    for package in packages:
        name, version = package["metadata"]["name"], package["metadata"]["version"]
        lines.append(f"{name}=={version} --hash=sha256:{sha256(package)}\n")
    return "".join(lines)


def sbom(packages: list[dict[str, Any]]) -> dict[str, Any]:
    components = []
    for package in packages:
        about = package["metadata"]
        licence = about.get("license_expression") or about.get("license") or ""
        components.append(
            {
                "type": "library",
                "name": about["name"],
                "version": about["version"],
                "purl": f"pkg:pypi/{about['name'].lower()}@{about['version']}",
                "hashes": [{"alg": "SHA-256", "content": sha256(package)}],
                **(
                    {"licenses": [{"license": {"name": licence.splitlines()[0][:100]}}]}
                    if licence.strip()
                    else {}
                ),
            }
        )
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}


if __name__ == "__main__":
    found = resolved()
    (HERE / "requirements.lock").write_text(lock(found))
    (HERE / "sbom.cdx.json").write_text(json.dumps(sbom(found), indent=1) + "\n")
