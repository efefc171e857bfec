"""The interface does what its OpenAPI description says, whatever is sent: schemathesis draws the requests."""

import json

import fakes
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from live import running

from ecgvlm.serve.app import create_app
from ecgvlm.serve.service import Settings
from ecgvlm.serve.store import Store

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis (extra dev)")

OPERATIONS = (
    "POST /v1/read", "POST /v1/aim", "POST /v1/ask", "POST /v1/digitize", "POST /v1/report",
    "POST /v1/batches",
    "GET /v1/batches/{id}", "GET /v1/batches/{id}/results", "DELETE /v1/batches/{id}", "GET /v1/reads",
    "GET /v1/reads/{id}", "GET /v1/reads/{id}/image", "POST /v1/reads/{id}/corrections",
    "DELETE /v1/reads/{id}",
    "POST /v1/chat/completions", "GET /v1/models", "GET /v1/models/{name}", "GET /v1/about", "GET /healthz",
    "GET /readyz", "GET /metrics",
)  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A running server and its operations by name."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db")
    with running(Settings(workers=1, queue=64, store=store)) as client:
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        found = (result.ok() for result in schema.get_all_operations())
        yield str(client.base_url), {f"{o.method.upper()} {o.path}": o for o in found}


def test_every_operation_is_described(served):
    assert set(served[1]) == set(OPERATIONS)


def test_examples():
    schemas = create_app(Settings(workers=1), reader=fakes.make).openapi()["components"]["schemas"]
    assert "ABNORMAL - Atrial Fibrillation" in json.dumps(schemas["ReadAnswer"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_requests_of_every_kind(served, name):
    """No server error; status, content type and body as described; nothing accepted that should not be.

    Bytes that are drawn are no ECGs, so that a well-formed request may be refused.
    """
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    url, operations = served

    @given(case=operations[name].as_strategy())
    @settings(
        max_examples=10, deadline=None, derandomize=True, database=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def check(case):
        case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance], timeout=300)

    check()
