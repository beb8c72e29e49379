"""What the router is told."""

import pytest

from modelcascade.api.documents import Routes, parse_routes
from modelcascade.planning.plan import plan_cascade
from modelcascade.planning.routes import answering_tiers, build_routes
from support.cascades import DEFAULTS, accepted, cascade_body, tier_body


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        pytest.param(
            [("b", "Specialist", None), ("a", "Small", None)], [(0, "a"), (1, "b")], id="roles order, position is rank"
        ),
        pytest.param([("b", "Specialist", 5), ("a", "Small", 10)], [(5, "b"), (10, "a")], id="declared ranks win"),
        pytest.param(
            [("c", "Specialist", 9), ("b", "Specialist", 3), ("a", "Small", None)],
            [(0, "a"), (1, "b"), (2, "c")],
            id="one without rank: roles first, then rank",
        ),
    ],
)
def test_the_order_of_escalation(tiers: list[tuple[str, str, int | None]], expected: list[tuple[int, str]]) -> None:
    """A higher rank is asked later; roles stand in where ranks are missing."""
    bodies = [tier_body(name, role) | ({} if rank is None else {"rank": rank}) for name, role, rank in tiers]
    cascade = accepted(cascade_body(*bodies))
    assert expected == [(rank, tier.name) for rank, tier in answering_tiers(cascade)]


def test_suspended_tiers_get_no_requests_and_others_keep_their_rank() -> None:
    """Suspending the middle tier leaves it out and moves nobody."""
    middle = tier_body("b", "Specialist") | {"rank": 2, "state": "Suspended"}
    cascade = accepted(cascade_body(tier_body("a") | {"rank": 1}, middle, tier_body("c", "Specialist") | {"rank": 3}))
    assert [(1, "a"), (3, "c")] == [(tier.rank, tier.name) for tier in build_routes(cascade).tiers]


def test_a_tier_is_described_for_the_router() -> None:
    """Service, port, the engine's own name for the model, and what bounds a request."""
    model = {"source": tier_body()["local"]["model"]["source"], "servedName": "qwen", "contextLength": 8192}
    tier = tier_body(model=model, engine={"type": "LlamaCpp", "parallel": 2}) | {"capabilities": ["Chat", "Tools"]}
    only = build_routes(accepted(cascade_body(tier))).tiers[0]
    assert ("assist-small", 8080, "qwen", 8192, 2, ("Chat", "Tools")) == (
        only.service,
        only.port,
        only.served_name,
        only.context_length,
        only.parallel,
        only.capabilities,
    )


def test_the_rules_are_those_of_the_spec() -> None:
    """Threshold, bounds, streaming and log are passed on as they are written."""
    routing = {
        "verification": {"method": "None", "minConfidencePercent": 55, "onFailure": "Accept"},
        "escalation": {"maxEscalations": 1, "deadlineSeconds": 30, "onExhausted": "Reject"},
        "streaming": "PreRoute",
    }
    routes = build_routes(accepted(cascade_body(routing=routing, telemetry={"decisionLog": "None"})))
    assert ("None", 55, "Accept") == (
        routes.verification.method,
        routes.verification.min_confidence_percent,
        routes.verification.on_failure,
    )
    assert (1, 30, "Reject") == (
        routes.escalation.max_escalations,
        routes.escalation.deadline_seconds,
        routes.escalation.on_exhausted,
    )
    assert ("PreRoute", "None", "assist", 3) == (
        routes.streaming,
        routes.decision_log,
        routes.cascade,
        routes.generation,
    )


def test_the_router_reads_what_the_operator_writes() -> None:
    """The document in the ConfigMap parses to the routes that were planned."""
    plan = plan_cascade(accepted(cascade_body()), DEFAULTS)
    text = next(one.body["data"]["routes.json"] for one in plan.objects if one.key.kind == "ConfigMap")
    parsed = parse_routes(text)
    assert isinstance(parsed, Routes)
    assert plan.routes == parsed
