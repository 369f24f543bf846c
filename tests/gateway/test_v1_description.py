"""schemathesis draws calls from a description of ``/v1``, right ones and wrong ones, and checks what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS

from tests.gateway.v1_server import KEY, RichGateway, edge_over

CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
schema = schemathesis.openapi.from_dict(
    yaml.safe_load(Path(__file__).with_name("v1.openapi.yaml").read_text())
)
schema.app = edge_over(RichGateway())


@schema.parametrize()
@settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)
def test_calls_are_answered_as_described(case: schemathesis.Case[Any]) -> None:
    checks: list[Any] = [check for check in CHECKS.get_all() if check.__name__ in CHECKED]
    assert len(checks) == len(CHECKED)
    case.call_and_validate(headers={"authorization": f"Bearer {KEY}"}, checks=checks)
