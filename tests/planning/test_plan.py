"""What an edit touches, and what it must leave alone."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from modelcascade.planning.names import ObjectKey
from modelcascade.planning.plan import CascadePlan, diff_plan, find_missing_images, plan_cascade
from support.cascades import DEFAULTS, UID, accepted, cascade_body, tier_body


def plan_of(body: dict[str, Any]) -> CascadePlan:
    """The plan of a body."""
    return plan_cascade(accepted(body), DEFAULTS)


def stored(plan: CascadePlan) -> dict[ObjectKey, dict[str, Any]]:
    """The plan's objects as the API server would hold them, some of its defaults added."""
    children = {}
    for planned in plan.objects:
        live = copy.deepcopy(planned.body)
        live["metadata"] |= {"uid": "x", "resourceVersion": "1", "generation": 1}
        if planned.key.kind == "Deployment":
            live["spec"].setdefault("replicas", 1)
            live["spec"]["template"]["spec"] |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always"}
            for container in live["spec"]["template"]["spec"]["containers"]:
                container["terminationMessagePath"] = "/dev/termination-log"
                container["readinessProbe"]["httpGet"]["scheme"] = "HTTP"
        children[planned.key] = live
    return children


def touched(before: dict[str, Any], after: dict[str, Any]) -> tuple[set[str], set[str]]:
    """What is applied and what is pruned by an edit."""
    changes = diff_plan(plan_of(after), stored(plan_of(before)), owner_uid=UID)
    assert changes.conflicts == ()
    return {str(one.key) for one in changes.apply}, {str(key) for key in changes.prune}


def edited(path: str, value: object) -> dict[str, Any]:
    """The two-tier cascade with one field changed and the generation counted up."""
    body = cascade_body()
    body["metadata"]["generation"] += 1
    place = body["spec"]
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    place[last] = value
    return body


ROUTES = "ConfigMap/assist-routes"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param("routing.verification", {"minConfidencePercent": 90}, {ROUTES}, id="threshold: routes only"),
        pytest.param("routing.escalation", {"deadlineSeconds": 9}, {ROUTES}, id="deadline: routes only"),
        pytest.param("tiers.1.local.engine.parallel", 2, {ROUTES, "Deployment/assist-large"}, id="slots of one tier"),
        pytest.param("tiers.0.local.resources.cpu", "1", {ROUTES, "Deployment/assist-small"}, id="cpu of one tier"),
        pytest.param("tiers.0.local.resources.cpu", "0.5", {ROUTES}, id="the same cpu, written otherwise"),
        pytest.param("tiers.0.local.resources.memory", "1.5Gi", {ROUTES}, id="the same memory, written otherwise"),
        pytest.param("tiers.0.capabilities", ["Chat", "Tools"], {ROUTES}, id="capabilities: routes only"),
        pytest.param("tiers.0.scaling", {"maxReplicas": 3}, {ROUTES}, id="bounds of scaling: no Deployment"),
        pytest.param("tiers.1.state", "Suspended", {ROUTES}, id="suspension: /scale does it"),
        pytest.param(
            "router.replicas",
            2,
            {ROUTES, "Deployment/assist-router", "PodDisruptionBudget/assist-router"},
            id="router replicas",
        ),
    ],
)
def test_an_edit_touches_only_its_own(path: str, value: object, expected: set[str]) -> None:
    """No engine and no router restarts for what does not concern it; the routes carry the generation."""
    assert (expected, set()) == touched(cascade_body(), edited(path, value))


def test_nothing_is_applied_at_rest() -> None:
    """The server's defaults, replicas and other people's fields are no difference."""
    plan = plan_of(cascade_body())
    changes = diff_plan(plan, stored(plan), owner_uid=UID)
    assert ((), (), len(plan.objects)) == (changes.apply, changes.prune, len(changes.keep))


def test_a_removed_tier_is_pruned_and_a_new_one_is_applied() -> None:
    """Renaming a tier makes its new objects and removes its old ones."""
    body = cascade_body(tier_body(), tier_body("huge", "Specialist"))
    assert (
        {ROUTES, "Deployment/assist-huge", "Service/assist-huge"},
        {"Deployment/assist-large", "Service/assist-large"},
    ) == touched(cascade_body(), body)


def test_a_second_router_less_takes_its_budget_along() -> None:
    """With one replica, a budget of one unavailable pod would promise nothing."""
    assert ({"Deployment/assist-router"}, {"PodDisruptionBudget/assist-router"}) == touched(
        cascade_body(router={"replicas": 2}), cascade_body()
    )


def test_objects_are_applied_in_the_order_of_need() -> None:
    """Rights and routes exist before the pods that need them."""
    body = cascade_body(router={"replicas": 2})
    changes = diff_plan(plan_of(body), {}, owner_uid=UID)
    kinds = [one.key.kind for one in changes.apply]
    assert ["RoleBinding", "ServiceAccount", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget"] == list(
        dict.fromkeys(kinds)
    )


def test_a_suspended_tier_is_never_created_and_never_pruned() -> None:
    """It starts without Deployment; one that exists is kept, and kept up to date."""
    body = edited("tiers.1.state", "Suspended")
    plan = plan_of(body)
    new = diff_plan(plan, {}, owner_uid=UID)
    assert ObjectKey("Deployment", "assist-large") not in {one.key for one in new.apply}
    changed = copy.deepcopy(body)
    changed["spec"]["tiers"][1]["local"]["engine"]["parallel"] = 1
    applied, pruned = touched(cascade_body(), changed)
    assert ({ROUTES, "Deployment/assist-large"}, set()) == (applied, pruned)


def test_a_new_operator_image_restarts_no_engine() -> None:
    """An upgrade of the operator rolls the routers; engines get the new inspection with their next change."""
    before = plan_of(cascade_body())
    newer = replace(DEFAULTS, operator_image="registry.example/modelcascade:2")
    changes = diff_plan(plan_cascade(accepted(cascade_body()), newer), stored(before), owner_uid=UID)
    assert ["Deployment/assist-router"] == [str(one.key) for one in changes.apply]


def test_a_new_engine_image_rolls_the_engines() -> None:
    """The platform's default image is what the engines run, until a cascade names its own."""
    newer = replace(DEFAULTS, llama_cpp_image="registry.example/llama:2")
    changes = diff_plan(plan_cascade(accepted(cascade_body()), newer), stored(plan_of(cascade_body())), owner_uid=UID)
    assert ["Deployment/assist-large", "Deployment/assist-small"] == [str(one.key) for one in changes.apply]


def test_replicas_of_a_tier_are_in_no_manifest() -> None:
    """/scale is their only writer, in every mode."""
    for scaling in ({}, {"scaling": {"mode": "Fixed", "replicas": 3}}, {"scaling": {"mode": "External"}}):
        plan = plan_of(cascade_body(tier_body() | scaling))
        deployments = {one.tier: one.body for one in plan.objects if one.key.kind == "Deployment"}
        assert (False, 1) == ("replicas" in deployments["small"]["spec"], deployments[None]["spec"]["replicas"])


def test_a_tier_that_is_not_local_has_no_objects() -> None:
    """What somebody else runs is not ours to make."""
    other = {"name": "theirs", "role": "Specialist", "backendRef": {"kind": "Service", "name": "x", "port": 80}}
    plan = plan_of(cascade_body(tier_body(), other))
    assert {None, "small"} == {one.tier for one in plan.objects}


def test_a_tier_without_any_engine_image_is_named() -> None:
    """Neither the cascade nor the platform names one: the field's path, not an object that the server refuses."""
    cascade = accepted(cascade_body(tier_body("small"), tier_body("big", role="Specialist")))
    found = find_missing_images(cascade, replace(DEFAULTS, llama_cpp_image=""))
    assert [f"spec.tiers[{index}].local.engine.image" for index in (0, 1)] == [problem.path for problem in found]
    assert () == find_missing_images(cascade, DEFAULTS)


def test_the_router_knows_how_long_it_has() -> None:
    """Its own grace and the pod's fit: what is left after preStop, so that the last error is told before the kill."""
    plan = plan_of(cascade_body(tier_body("small")))
    (router,) = [one.body for one in plan.objects if one.key.kind == "Deployment" and one.tier is None]
    pod = router["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    told = int(container["args"][container["args"].index("--grace-seconds") + 1])
    assert pod["terminationGracePeriodSeconds"] == told + container["lifecycle"]["preStop"]["sleep"]["seconds"]
