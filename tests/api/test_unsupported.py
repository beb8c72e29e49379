"""What this version does not serve is refused with its path, never ignored."""

from typing import Any

import pytest

from modelcascade.api.parse import parse_cascade
from modelcascade.api.unsupported import find_unsupported
from modelcascade.api.v1alpha1.cascade import ModelCascade
from support.bad_inputs import base_object, shortest_cascade

HEX = "d" * 64


def unserved(body: dict[str, Any]) -> list[str]:
    """The paths that this version does not serve."""
    cascade = parse_cascade(body)
    assert isinstance(cascade, ModelCascade), cascade
    found = find_unsupported(cascade)
    assert all(problem.message.endswith("is not served by this version yet") for problem in found)
    return [problem.path for problem in found]


def test_the_shortest_cascade_is_served() -> None:
    """Nothing to complain about."""
    assert unserved(shortest_cascade()) == []


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"routing": {"verification": {"method": "None"}}}, id="no verification"),
        pytest.param({"routing": {"streaming": "PreRoute"}}, id="streaming at once"),
        pytest.param({"routing": {"escalation": {"maxEscalations": 0, "onExhausted": "Reject"}}}, id="bounds"),
        pytest.param({"router": {"replicas": 2, "resources": {"cpu": 1, "memory": "1Gi"}}}, id="router"),
        pytest.param({"telemetry": {"decisionLog": "None"}}, id="no decision log"),
        pytest.param({"imagePullSecrets": [{"name": "regcred"}]}, id="pull secrets"),
    ],
)
def test_what_is_served(edit: dict[str, Any]) -> None:
    """These parts of the spec do what they say in this version."""
    body = shortest_cascade()
    body["spec"] |= edit
    assert unserved(body) == []


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"scaling": {"mode": "Fixed", "replicas": 2}}, id="fixed"),
        pytest.param({"scaling": {"mode": "External", "maxReplicas": 3}}, id="external"),
        pytest.param({"scaling": {"minReplicas": 2, "maxReplicas": 3}}, id="managed"),
        pytest.param({"state": "Suspended"}, id="suspended"),
    ],
)
def test_tiers_that_are_served(edit: dict[str, Any]) -> None:
    """Scaling within bounds and suspension do what they say."""
    body = shortest_cascade()
    other = body["spec"]["tiers"][0] | {"name": "specialist", "role": "Specialist"}
    body["spec"]["tiers"].append(other | edit)
    assert unserved(body) == []


def test_tiers_that_are_not_served_yet() -> None:
    """Sizes and prices that nothing would read are refused rather than ignored."""
    body = shortest_cascade()
    tier = body["spec"]["tiers"][0]
    tier["pricing"] = {"currency": "USD", "replicaPerHour": "0.5"}
    tier["scaling"] = {"onCold": "Hold", "maxHeldRequests": 3}
    tier["local"]["accelerator"] = {"resource": "nvidia.com/gpu", "memory": "24Gi"}
    tier["local"]["model"]["dimensions"] = {
        "parametersMillion": 494,
        "layers": 24,
        "kvHeads": 2,
        "headDim": 64,
        "weightsMebibytes": 469,
    }
    assert unserved(body) == [
        "spec.tiers[0].local.model.dimensions",
        "spec.tiers[0].local.accelerator.memory",
        "spec.tiers[0].pricing",
        "spec.tiers[0].scaling.onCold",
        "spec.tiers[0].scaling.maxHeldRequests",
    ]


def test_an_accelerator_is_served() -> None:
    """LlamaCpp runs on GPUs too."""
    body = shortest_cascade()
    body["spec"]["tiers"][0]["local"]["accelerator"] = {"resource": "nvidia.com/gpu"}
    assert unserved(body) == []


@pytest.mark.parametrize(
    ("edit", "paths"),
    [
        pytest.param(
            {"routing": {"difficulty": {"method": "PromptLength", "thresholdsPercent": []}}},
            ["spec.routing.difficulty.method"],
            id="difficulty",
        ),
        pytest.param(
            {"routing": {"verification": {"method": "Judge", "tierRef": "small"}}},
            ["spec.routing.verification.method"],
            id="judge",
        ),
        pytest.param(
            {"routing": {"verification": {"method": "Calibrated"}}},
            ["spec.routing.verification.method"],
            id="calibrated",
        ),
        pytest.param(
            {"routing": {"verification": {"tierRef": "small"}}},
            ["spec.routing.verification.tierRef"],
            id="a judge without the method",
        ),
        pytest.param(
            {"routing": {"verification": {"checks": ["FinishReason", "Refusal"]}}},
            ["spec.routing.verification.checks[1]", *["spec.routing.verification.checks"] * 2],
            id="check",
        ),
        pytest.param(
            {"routing": {"verification": {"checks": []}}}, ["spec.routing.verification.checks"] * 3, id="none"
        ),
        pytest.param(
            {"routing": {"verification": {"checks": ["FinishReason", "JSONSchema"]}}},
            ["spec.routing.verification.checks"],
            id="one check left out",
        ),
        pytest.param(
            {"routing": {"escalation": {"maxTenantSharePercent": 5, "maxCostPerRequest": "1"}}},
            ["spec.routing.escalation.maxTenantSharePercent", "spec.routing.escalation.maxCostPerRequest"],
            id="bounds by tenant and cost",
        ),
        pytest.param(
            {"routing": {"dataClasses": [{"name": "a", "allowedRoles": ["Small"]}], "defaultDataClass": "a"}},
            ["spec.routing.dataClasses", "spec.routing.defaultDataClass"],
            id="data classes",
        ),
        pytest.param(
            {
                "budgets": [
                    {
                        "name": "a",
                        "scope": "Cascade",
                        "limit": "5",
                        "currency": "USD",
                        "period": "Day",
                        "onExceeded": "Warn",
                    }
                ]
            },
            ["spec.budgets"],
            id="budget",
        ),
        pytest.param(
            {"access": {"mode": "APIKey", "apiKeysSecretRef": {"name": "mc-keys"}}}, ["spec.access"], id="access"
        ),
        pytest.param(
            {"telemetry": {"decisionLog": "WithContent", "traces": {"endpoint": "http://traces"}}},
            ["spec.telemetry.decisionLog", "spec.telemetry.traces"],
            id="telemetry",
        ),
    ],
)
def test_what_is_not_served_yet(edit: dict[str, Any], paths: list[str]) -> None:
    """Each such field is named by its path."""
    body = shortest_cascade()
    body["spec"] |= edit
    assert unserved(body) == paths


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ({"uri": "pvc://models/a", "file": "a.gguf"}, []),
        ({"uri": "hf://o/m", "revision": "d" * 40}, ["uri"]),
        ({"uri": "https://h.example/m", "sha256": HEX}, ["uri"]),
        ({"uri": "s3://b/m", "sha256": HEX}, ["uri"]),
        ({"uri": f"oci://r/m@sha256:{HEX}", "sha256": HEX}, ["sha256"]),
        ({"uri": "pvc://models/a", "revision": "d" * 40}, ["revision"]),
        ({"uri": "pvc://models/a", "secretKeyRef": {"name": "mc-a", "key": "b"}}, ["secretKeyRef"]),
    ],
)
def test_sources(source: dict[str, Any], paths: list[str]) -> None:
    """Images and claims are served; a checksum that nothing would check is refused rather than ignored."""
    body = shortest_cascade()
    body["spec"]["tiers"][0]["local"]["model"]["source"] = source
    assert unserved(body) == [f"spec.tiers[0].local.model.source.{path}" for path in paths]


def test_the_whole_design_is_not_served_yet() -> None:
    """Guard, other engines, external APIs and scaling policies come later."""
    body = base_object("ModelCascade")
    body["spec"]["tiers"][1]["scaling"] = {
        "policyRef": {"name": "default"},
        "minReplicas": 0,
        "onCold": "Hold",
        "idleSeconds": 60,
    }
    body["spec"]["tiers"][2] = {
        "name": "own",
        "role": "Specialist",
        "rank": 20,
        "backendRef": {"name": "a", "port": 80},
    }
    assert unserved(body) == [
        "spec.tiers[0].role",
        "spec.tiers[1].local.engine.type",
        "spec.tiers[1].scaling.policyRef",
        "spec.tiers[1].scaling.minReplicas",
        "spec.tiers[1].scaling.onCold",
        "spec.tiers[1].scaling.idleSeconds",
        "spec.tiers[2].backendRef",
        "spec.tiers[3].external",
        "spec.tiers[3].pricing",
        "spec.routing.difficulty.method",
        "spec.routing.difficulty.thresholdsPercent",
        "spec.routing.dataClasses",
        "spec.guard",
        "spec.budgets",
    ]
