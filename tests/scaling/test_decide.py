"""How many replicas, and why."""

from typing import Any

import pytest

from modelcascade.scaling.decide import Decision, decide_replicas
from support.cascades import accepted, cascade_body, tier_body

THEIRS = {"name": "theirs", "role": "Specialist", "backendRef": {"kind": "Service", "name": "x", "port": 80}}


@pytest.mark.parametrize(
    ("changes", "current", "expected"),
    [
        pytest.param({}, 1, Decision(1, "Hold"), id="default holds its one"),
        pytest.param({}, None, Decision(None, "Hold"), id="nothing is known, nothing is written"),
        pytest.param({}, 0, Decision(1, "BelowMinimum"), id="after a suspension"),
        pytest.param({}, 4, Decision(1, "AboveMaximum"), id="over the maximum"),
        pytest.param({"scaling": {"minReplicas": 2, "maxReplicas": 5}}, 1, Decision(2, "BelowMinimum"), id="minimum"),
        pytest.param({"scaling": {"minReplicas": 2, "maxReplicas": 5}}, 3, Decision(3, "Hold"), id="within bounds"),
        pytest.param(
            {"scaling": {"minReplicas": 0, "onCold": "Escalate"}}, 0, Decision(1, "BelowMinimum"), id="nobody wakes it"
        ),
        pytest.param({"scaling": {"mode": "Fixed", "replicas": 3}}, 1, Decision(3, "Fixed"), id="fixed"),
        pytest.param({"scaling": {"mode": "Fixed", "replicas": 3}}, None, Decision(3, "Fixed"), id="fixed, unknown"),
        pytest.param({"scaling": {"mode": "External"}}, 7, Decision(None, "External"), id="external is left alone"),
        pytest.param(
            {"scaling": {"mode": "External"}, "state": "Suspended"}, 7, Decision(None, "External"), id="even suspended"
        ),
        pytest.param({"state": "Suspended"}, 2, Decision(0, "Suspended"), id="suspended"),
        pytest.param(
            {"state": "Suspended", "scaling": {"mode": "Fixed", "replicas": 3}},
            3,
            Decision(0, "Suspended"),
            id="and fixed",
        ),
    ],
)
def test_replicas_of_a_tier(changes: dict[str, Any], current: int | None, expected: Decision) -> None:
    """Each row of the table in `decide_replicas`."""
    other = tier_body("large", "Specialist")
    assert expected == decide_replicas(accepted(cascade_body(tier_body() | changes, other)).spec.tiers[0], current)


def test_a_tier_that_somebody_else_runs_is_not_scaled() -> None:
    """There is no Deployment of ours to write to."""
    tier = accepted(cascade_body(tier_body(), THEIRS)).spec.tiers[1]
    assert Decision(None, "NotLocal") == decide_replicas(tier, 1)
