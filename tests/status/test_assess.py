"""A whole cascade: conditions, their order, their generation, and what does not change at rest."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from modelcascade.api.conditions import find_condition
from modelcascade.api.documents import Inspection
from modelcascade.api.parse import SpecProblems, parse_cascade
from modelcascade.api.problems import Problem
from modelcascade.api.reasons import ConditionReason
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.status import CascadeStatus
from modelcascade.planning.diff import Conflict
from modelcascade.planning.names import ObjectKey
from modelcascade.planning.plan import plan_cascade
from modelcascade.status.assess import assess_cascade
from modelcascade.status.snapshot import ApplyError, Snapshot
from support.cascades import DEFAULTS, cascade_body, tier_body

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 4, 0, 0, tzinfo=UTC)
READY = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
SMALL = ObjectKey("Deployment", "assist-small")
ROUTER = ObjectKey("Deployment", "assist-router")
INSPECTED = Inspection(outcome="Ok", message="fine", found_format="GGUF", found_variant="Q4_K_M")


class World:
    """A cascade in its cluster: everything is well, until a test breaks it."""

    def __init__(self, body: dict[str, Any] | None = None) -> None:
        self.body = body or cascade_body()
        parsed = parse_cascade(self.body)
        assert isinstance(parsed, ModelCascade), parsed
        self.parsed: ModelCascade | SpecProblems = parsed
        self.plan = plan_cascade(parsed, DEFAULTS)
        self.children = {one.key: copy.deepcopy(one.body) for one in self.plan.objects}
        for key, child in self.children.items():
            if key.kind == "Deployment":
                child["metadata"]["generation"] = 1
                child["status"] = dict(READY)
        self.pods = [self.pod("small"), self.pod("large")]
        self.conflicts: tuple[Conflict, ...] = ()
        self.apply_errors: tuple[ApplyError, ...] = ()
        self.unsupported: tuple[Problem, ...] = ()

    def pod(self, tier: str, inspection: Inspection | None = INSPECTED, exit_code: int = 0) -> dict[str, Any]:
        """The pod of a tier."""
        end = {"exitCode": exit_code, "message": inspection.model_dump_json(by_alias=True) if inspection else ""}
        state = {"terminated": end} if inspection else {"running": {}}
        return {
            "metadata": {
                "name": f"assist-{tier}-0",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"modelcascade.dev/tier": tier, "app.kubernetes.io/component": "engine"},
            },
            "status": {"initContainerStatuses": [{"name": "inspect", "state": state}]},
        }

    def assess(self, now: datetime = NOW, *, is_planned: bool = True) -> CascadeStatus:
        """The status, which is then also the one of the cascade."""
        snapshot = Snapshot(
            cascade=self.body,
            children=self.children,
            pods=tuple(self.pods),
            conflicts=self.conflicts,
            apply_errors=self.apply_errors,
        )
        plan = self.plan if is_planned else None
        status = assess_cascade(self.parsed, plan, snapshot, self.unsupported, now)
        self.body["status"] = status.model_dump(by_alias=True, exclude_none=True, mode="json")
        return status


def conditions(status: CascadeStatus) -> dict[str, tuple[str, str]]:
    """Status and reason by type."""
    return {one.type: (one.status, one.reason) for one in status.conditions}


WELL = {
    "Ready": ("True", "Ready"),
    "Accepted": ("True", "Valid"),
    "ModelsAvailable": ("True", "ModelsVerified"),
    "QuantizationMatched": ("True", "QuantizationVerified"),
    "TiersReady": ("True", "TiersReady"),
    "RouterReady": ("True", "RouterReady"),
}


def test_everything_is_well() -> None:
    """The whole status of a cascade that answers."""
    status = World().assess()
    assert WELL == conditions(status)
    assert list(WELL) == [one.type for one in status.conditions]
    assert ("http://assist.team.svc/v1", 3, "2/2") == (status.url, status.observed_generation, status.ready_tiers)
    assert {one.observed_generation for one in status.conditions} == {3}
    small = status.tiers[0].model_dump(by_alias=True, exclude_none=True)
    assert {
        "name": "small",
        "replicas": {"desired": 1, "ready": 1},
        "model": cascade_body()["spec"]["tiers"][0]["local"]["model"]["source"]["uri"],
        "quantization": "GGUF Q4_K_M",
        "endpointHealth": "Healthy",
    } == small


def test_nothing_changes_at_rest() -> None:
    """The same snapshot later gives the very same status, so that nothing is written."""
    world = World()
    world.assess()
    before = copy.deepcopy(world.body["status"])
    world.assess(LATER)
    assert before == world.body["status"]


def break_(world: World, **status: Any) -> None:
    """The small tier's Deployment is otherwise."""
    world.children[SMALL]["status"] |= status


def inspected(outcome: str) -> Inspection:
    """A report that starts no engine."""
    return Inspection.model_validate({"outcome": outcome, "message": f"It is {outcome}.", "found_format": "GGUF"})


def test_a_crash_after_ready_ends_ready() -> None:
    """The time of the transition moves, and the others' stays."""
    world = World()
    world.assess()
    break_(world, readyReplicas=0)
    world.pods[0]["status"]["containerStatuses"] = [{"name": "engine", "state": {"terminated": {"exitCode": 139}}}]
    status = world.assess(LATER)
    assert WELL | {"Ready": ("False", "ContainerCrashed"), "TiersReady": ("False", "ContainerCrashed")} == conditions(
        status
    )
    times = {one.type: one.last_transition_time for one in status.conditions}
    assert (LATER, LATER, NOW, NOW) == (times["Ready"], times["TiersReady"], times["RouterReady"], times["Accepted"])
    assert ("1/2", "Unhealthy") == (status.ready_tiers, status.tiers[0].endpoint_health)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(
            "VariantMismatch",
            {
                "QuantizationMatched": ("False", "VariantMismatch"),
                "TiersReady": ("False", "VariantMismatch"),
                "Ready": ("False", "VariantMismatch"),
            },
            id="variant",
        ),
        pytest.param(
            "FileNotFound",
            {
                "ModelsAvailable": ("False", "ModelFileNotFound"),
                "QuantizationMatched": ("Unknown", "InspectionPending"),
                "TiersReady": ("False", "ModelFileNotFound"),
                "Ready": ("False", "ModelFileNotFound"),
            },
            id="file",
        ),
    ],
)
def test_an_inspection_that_starts_no_engine(outcome: str, expected: dict[str, tuple[str, str]]) -> None:
    """The wrong quantization and the wrong file have their own conditions; Ready repeats the first of them."""
    world = World()
    break_(world, readyReplicas=0)
    world.pods[0] = world.pod("small", inspected(outcome), exit_code=1)
    status = world.assess()
    assert WELL | expected == conditions(status)
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    assert f"Tier small: It is {outcome}." == ready.message


def test_a_model_image_that_is_not_there() -> None:
    """ModelsAvailable says so, although nothing could be inspected."""
    world = World()
    break_(world, readyReplicas=0)
    image = world.children[SMALL]["spec"]["template"]["spec"]["volumes"][0]["image"]["reference"]
    wait = {"waiting": {"reason": "ErrImagePull", "message": f"{image} not found"}}
    world.pods[0]["status"] = {"initContainerStatuses": [{"name": "inspect", "state": wait}]}
    found = conditions(world.assess())
    assert ("False", "ModelNotFound") == found["ModelsAvailable"] == found["TiersReady"] == found["Ready"]
    assert ("Unknown", "InspectionPending") == found["QuantizationMatched"]


def test_at_first_everything_is_on_its_way() -> None:
    """A new cascade: nothing exists yet, nothing is wrong."""
    world = World()
    world.children = {}
    world.pods = []
    status = world.assess()
    assert {
        "Ready": ("False", "Progressing"),
        "Accepted": ("True", "Valid"),
        "ModelsAvailable": ("Unknown", "InspectionPending"),
        "QuantizationMatched": ("Unknown", "InspectionPending"),
        "TiersReady": ("False", "Progressing"),
        "RouterReady": ("False", "Progressing"),
    } == conditions(status)
    assert ("0/2", "Unknown", None) == (
        status.ready_tiers,
        status.tiers[0].endpoint_health,
        status.tiers[0].replicas,
    )


def test_what_needs_a_person_is_told_before_what_needs_time() -> None:
    """One tier starts, the other fails, and the router starts: the failure is the reason."""
    world = World()
    for child in world.children.values():
        child.get("status", {}).pop("readyReplicas", None)
    world.pods = [world.pod("small", None), world.pod("large", inspected("Truncated"), exit_code=1)]
    status = world.assess()
    found = conditions(status)
    assert (("False", "ModelUnreadable"), ("False", "ModelUnreadable"), ("False", "Starting")) == (
        found["Ready"],
        found["TiersReady"],
        found["RouterReady"],
    )
    tiers = find_condition(status.conditions, "TiersReady")
    assert tiers is not None
    assert tiers.message.endswith("(1 more not ready)")


def test_ready_names_the_fault_and_not_the_wait_before_it() -> None:
    """A tier starts, which only needs time; the router's name is taken, which needs a person."""
    world = World()
    break_(world, readyReplicas=0)
    world.conflicts = (Conflict(ROUTER, "has no controller", None),)
    found = conditions(world.assess())
    assert (("False", "Starting"), ("False", "NameConflict")) == (found["TiersReady"], found["Ready"])


def test_a_suspended_tier_is_in_no_fact() -> None:
    """It has no pods, and the rest is Ready."""
    world = World(cascade_body(tier_body(), tier_body("large", "Specialist") | {"state": "Suspended"}))
    world.children[ObjectKey("Deployment", "assist-large")]["status"] = {"observedGeneration": 1}
    world.pods.pop()
    status = world.assess()
    assert WELL == conditions(status)
    assert ("1/1", "Suspended") == (status.ready_tiers, status.tiers[1].endpoint_health)


def test_a_tier_at_zero_by_policy_keeps_nothing_from_ready() -> None:
    """Another autoscaler has brought it to zero: that is what is wanted."""
    world = World(cascade_body(tier_body(), tier_body("large", "Specialist") | {"scaling": {"mode": "External"}}))
    large = world.children[ObjectKey("Deployment", "assist-large")]
    large["spec"]["replicas"] = 0
    large["status"] = {"observedGeneration": 1}
    world.pods.pop()
    status = world.assess()
    assert WELL == conditions(status)
    assert ("2/2", "Unhealthy") == (status.ready_tiers, status.tiers[1].endpoint_health)


@pytest.mark.parametrize(
    ("key", "tier", "condition"),
    [
        (SMALL, "small", "TiersReady"),
        (ROUTER, None, "RouterReady"),
        (ObjectKey("Service", "assist"), None, "RouterReady"),
    ],
)
def test_foreign_and_refused_objects_are_told_where_they_belong(
    key: ObjectKey, tier: str | None, condition: str
) -> None:
    """A conflict or a refusal of a tier's object concerns the tiers, any other the router."""
    world = World()
    world.conflicts = (Conflict(key, "has no controller", tier),)
    assert WELL | dict.fromkeys(("Ready", condition), ("False", "NameConflict")) == conditions(world.assess())
    world.conflicts = ()
    world.apply_errors = (ApplyError(key, "denied", ConditionReason.APPLY_FAILED),)
    assert WELL | dict.fromkeys(("Ready", condition), ("False", "ApplyFailed")) == conditions(world.assess())


def test_an_invalid_edit_leaves_the_children_and_says_which_field() -> None:
    """Accepted is False with path and words; what serves is still judged, under the generation it came from."""
    world = World()
    world.assess()
    world.body["metadata"]["generation"] = 4
    world.parsed = SpecProblems((Problem("spec.tiers[0].rank", "must be unique"), Problem("spec.x", "unknown field")))
    break_(world, readyReplicas=0)
    status = world.assess(LATER, is_planned=False)
    found = conditions(status)
    assert (("False", "InvalidSpec"), ("False", "InvalidSpec"), ("False", "Starting")) == (
        found["Ready"],
        found["Accepted"],
        found["TiersReady"],
    )
    accepted = find_condition(status.conditions, "Accepted")
    assert accepted is not None
    assert accepted.message.startswith("spec.tiers[0].rank: must be unique; spec.x: unknown field. ")
    assert {"Ready": 4, "Accepted": 4, "TiersReady": 3, "RouterReady": 3} == {
        one.type: one.observed_generation
        for one in status.conditions
        if one.type in {"Ready", "Accepted", "TiersReady", "RouterReady"}
    }
    assert ("http://assist.team.svc/v1", "1/2", 4) == (status.url, status.ready_tiers, status.observed_generation)


def test_a_cascade_that_was_never_valid_has_only_its_refusal() -> None:
    """Nothing is known of tiers that were never planned."""
    world = World()
    world.parsed = SpecProblems((Problem("spec", "required value"),))
    world.children = {}
    status = world.assess(is_planned=False)
    assert {"Ready": ("False", "InvalidSpec"), "Accepted": ("False", "InvalidSpec")} == conditions(status)
    assert (None, None, ()) == (status.url, status.ready_tiers, status.tiers)


def test_what_is_not_served_yet_is_said() -> None:
    """A valid field that this version ignores would be worse than a refusal."""
    world = World()
    world.unsupported = (Problem("spec.guard", "is not served by this version yet"),)
    status = world.assess(is_planned=False)
    assert ("False", "Unsupported") == conditions(status)["Accepted"]


def test_a_status_of_another_version_is_as_if_it_were_absent() -> None:
    """What cannot be read is written anew."""
    world = World()
    world.body["status"] = {"conditions": [{"type": 1}]}
    assert WELL == conditions(world.assess())


def test_no_variant_in_the_report() -> None:
    """Only the format is known then."""
    world = World()
    world.pods[0] = world.pod("small", INSPECTED.model_copy(update={"found_variant": None}))
    world.pods[1] = world.pod("large", INSPECTED.model_copy(update={"found_format": None}))
    assert ["GGUF", None] == [tier.quantization for tier in world.assess().tiers]


def test_a_replaced_pod_does_not_make_the_model_unknown() -> None:
    """The old pod's report counts while the new one has none yet."""
    world = World()
    newer = world.pod("small", None)
    newer["metadata"] |= {"name": "assist-small-1", "creationTimestamp": "2026-01-01T01:00:00Z"}
    world.pods[0]["metadata"]["deletionTimestamp"] = "2026-01-01T01:00:00Z"
    world.pods.append(newer)
    assert ("True", "ModelsVerified") == conditions(world.assess())["ModelsAvailable"]


def test_other_pods_and_tiers_of_others_are_passed_over() -> None:
    """A pod without labels is nobody's; a tier that is not local has no row."""
    theirs = {"name": "theirs", "role": "Specialist", "backendRef": {"kind": "Service", "name": "x", "port": 80}}
    world = World(cascade_body(tier_body(), theirs))
    world.pods.append({"metadata": {"name": "stray"}})
    assert ["small"] == [tier.name for tier in world.assess().tiers]
