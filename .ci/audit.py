"""Known vulnerabilities among the pinned packages (pip-audit): a finding fails, no answer is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SECONDS = 60.0
PINS = Path(__file__).parent.parent / "constraints.txt"


def verdict(output: str) -> tuple[int, str]:
    """Exit status and what to say, from what pip-audit printed as JSON; anything else is no answer."""
    try:
        packages = json.loads(output)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return 0, "dependency audit: NOT DONE, the vulnerability service gave no answer"
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in {flaw['fix_versions'] or 'none'}"
        for package in packages
        for flaw in package.get("vulns", [])
    ]
    if found:
        return 1, "\n".join(["dependency audit: known vulnerabilities", *found])
    return 0, f"dependency audit: {len(packages)} packages, no known vulnerability"


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINS), "--no-deps", "--disable-pip",
               "--format", "json", "--progress-spinner", "off", "--timeout", "10"]  # fmt: skip
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False).stdout
    except subprocess.TimeoutExpired:
        output = ""
    status, words = verdict(output)
    print(words, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
