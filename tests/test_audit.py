"""What CI makes of pip-audit's answer."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "audit.py"


@pytest.fixture(scope="module")
def audit():
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answer(*flaws):
    found = [{"id": flaw, "fix_versions": ["1.1"]} for flaw in flaws]
    return json.dumps({"dependencies": [
        {"name": "numpy", "version": "2.0.0", "vulns": []},
        {"name": "pillow", "version": "1.0", "vulns": found},
        {"name": "odd", "skip_reason": "not on PyPI"},
    ], "fixes": []})  # fmt: skip


def test_a_finding_fails_and_is_named(audit):
    status, words = audit.verdict(answer("PYSEC-1"), "")
    assert status == 1
    assert "pillow 1.0: PYSEC-1, mended in ['1.1']" in words


def test_no_finding_passes(audit):
    assert audit.verdict(answer(), "") == (
        0,
        "dependency audit: 2 packages, no known vulnerability; 1 not audited",
    )


@pytest.mark.parametrize("errors", ["requests.exceptions.ConnectionError: x", "Read timed out."])
def test_no_answer_passes_and_says_so(audit, errors):
    status, words = audit.verdict("", errors)
    assert status == 0
    assert "NOT DONE" in words


def test_packages_that_were_all_skipped_are_no_all_clear(audit):
    output = json.dumps({"dependencies": [{"name": "odd", "skip_reason": "not on PyPI"}]})
    status, words = audit.verdict(output, "")
    assert status == 0
    assert "NOT DONE" in words


@pytest.mark.parametrize("output", ["", "[]", '{"error": 1}'])
def test_a_tool_that_fails_is_no_silence(audit, output):
    status, words = audit.verdict(output, "No module named pip_audit")
    assert status == 1
    assert "No module named pip_audit" in words


def test_ci_runs_it_on_what_is_pinned(audit):
    assert audit.PINS.exists()
    assert ".ci/audit.py" in (SCRIPT.parent / "run").read_text("utf-8")
