"""Known vulnerabilities among the pinned packages (pip-audit): a finding fails, no answer is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SECONDS = 60.0
UNREACHABLE = (
    "timed out",
    "ConnectionError",
    "Connection refused",
    "Max retries",
    "Failed to resolve",
    "HTTPError",
    "Timeout",
)
PINS = Path(__file__).parent.parent / "constraints.txt"


def verdict(output: str, errors: str) -> tuple[int, str]:
    """Exit status and what to say, from what pip-audit printed: JSON, and what went wrong."""
    try:
        packages = json.loads(output)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        if any(word in errors for word in UNREACHABLE):
            return 0, "dependency audit: NOT DONE, the vulnerability service gave no answer"
        return 1, f"dependency audit: pip-audit itself failed\n{errors.strip()[-600:]}"
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in {flaw['fix_versions'] or 'none'}"
        for package in packages
        for flaw in package.get("vulns", [])
    ]
    if found:
        return 1, "\n".join(["dependency audit: known vulnerabilities", *found])
    skipped = sum("skip_reason" in package for package in packages)
    audited = len(packages) - skipped
    if not audited:
        return 0, f"dependency audit: NOT DONE, the vulnerability service knew none of {skipped} packages"
    return 0, f"dependency audit: {audited} packages, no known vulnerability; {skipped} not audited"


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINS), "--no-deps", "--disable-pip",
               "--format", "json", "--progress-spinner", "off", "--timeout", "10"]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        status, words = verdict(done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        status, words = verdict("", UNREACHABLE[0])
    print(words, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
