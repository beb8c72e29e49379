"""The reconcile against an in-memory cluster: create, edit, crash, conflict, refuse, delete, rest."""

from typing import Any

import pytest

from controller.stories import DEFAULTS, KEY, CrashError, Story, cascade_body, crash_after, tier
from fakes.fake_cluster import FakeCluster, Write
from modelcascade.errors import (
    ClusterConflictError,
    ClusterError,
    ClusterForbiddenError,
    ClusterInvalidError,
    ClusterUnreachableError,
)
from modelcascade.kube.indexes import CascadeKey

CHILDREN = {
    "ConfigMap/code-routes",
    "Deployment/code-large",
    "Deployment/code-router",
    "Deployment/code-small",
    "RoleBinding/code-router",
    "Service/code",
    "Service/code-large",
    "Service/code-small",
    "ServiceAccount/code-router",
}


@pytest.fixture
def story() -> Story:
    """A cluster with one cascade that nobody has looked at yet."""
    story = Story()
    story.cluster.put(cascade_body())
    return story


def children(story: Story) -> set[str]:
    """All objects but the cascade and Events."""
    return set(story.cluster.normal_form("ns")) - {"ModelCascade/code"}


async def test_one_round_creates_everything(story: Story) -> None:
    """The first round creates all children, each with the cascade as its controller, and writes the status."""
    outcome = await story.reconcile()
    assert outcome.result == "done"
    assert children(story) == CHILDREN
    cascade = story.cluster.body("ModelCascade", *KEY)
    for body in story.cluster.bodies():
        if body["kind"] not in {"ModelCascade", "Event"}:
            (owner,) = body["metadata"]["ownerReferences"]
            assert (owner["uid"], owner["controller"]) == (cascade["metadata"]["uid"], True)
    assert story.condition("Accepted")["status"] == "True"
    assert story.condition("Ready")["status"] == "False"
    assert cascade["status"]["observedGeneration"] == 1


async def test_order_of_creation(story: Story) -> None:
    """What a pod needs exists before the pod: access and routes, then Services, then Deployments."""
    await story.reconcile()
    kinds = [kind for verb, kind, _ in story.writes_since(0) if verb == "apply"]
    assert kinds.index("Deployment") > max(
        kinds.index(kind) for kind in ("ServiceAccount", "RoleBinding", "ConfigMap", "Service")
    )


async def test_at_rest_nothing_is_written(story: Story) -> None:
    """After convergence ten resyncs, with the clock moving, make no write at all, and no read either."""
    await story.settle()
    writes, reads = len(story.cluster.writes), len(story.cluster.reads)
    for _ in range(10):
        await story.reconcile()
    assert (len(story.cluster.writes), len(story.cluster.reads)) == (writes, reads)


async def test_the_user_s_half_is_never_written(story: Story) -> None:
    """Metadata and spec of the cascade stay as the user wrote them: no annotation, no finalizer."""
    before = story.cluster.body("ModelCascade", *KEY)
    await story.settle()
    after = story.cluster.body("ModelCascade", *KEY)
    del after["status"]
    for body in (before, after):
        del body["metadata"]["resourceVersion"]
    assert after == before


async def test_stale_caches_cause_no_second_write(story: Story) -> None:
    """A round with caches from before our own writes finds out by reading, and writes nothing again."""
    stale = story.cluster.indexes()
    await story.reconcile(stale)
    done = len(story.cluster.writes)
    await story.reconcile(stale)
    assert story.writes_since(done) == []
    story.change_spec(lambda spec: spec["tiers"][0]["local"]["resources"].update(cpu="600m"))
    stale = story.cluster.indexes()
    await story.reconcile(stale)
    done = len(story.cluster.writes)
    await story.reconcile(stale)
    assert story.writes_since(done) == []


async def test_editing_one_tier_touches_only_it(story: Story) -> None:
    """New resources of one tier change its Deployment, the routes (which carry the generation) and the status."""
    await story.settle()
    done = len(story.cluster.writes)
    story.change_spec(lambda spec: spec["tiers"][0]["local"]["resources"].update(cpu="600m"))
    await story.settle()
    assert story.writes_since(done) == [
        ("apply", "ConfigMap", "code-routes"),
        ("apply", "Deployment", "code-small"),
        ("status", "ModelCascade", "code"),
    ]


async def test_a_threshold_touches_only_the_routes(story: Story) -> None:
    """A new threshold is one write to the routes, and no pod is restarted."""
    await story.settle()
    done = len(story.cluster.writes)
    story.change_spec(lambda spec: spec.update(routing={"verification": {"minConfidencePercent": 42}}))
    await story.settle()
    assert story.writes_since(done) == [("apply", "ConfigMap", "code-routes"), ("status", "ModelCascade", "code")]


async def test_a_renamed_tier_is_replaced(story: Story) -> None:
    """The new tier's objects come before the old one's go, and only those go."""
    await story.settle()
    done = len(story.cluster.writes)
    story.change_spec(lambda spec: spec["tiers"][0].update(name="tiny"))
    await story.settle()
    verbs = [write for write in story.writes_since(done) if write[0] in {"apply", "delete"}]
    deleted = [write for write in verbs if write[0] == "delete"]
    assert sorted(deleted) == [("delete", "Deployment", "code-small"), ("delete", "Service", "code-small")]
    assert verbs[-2:] == deleted
    assert children(story) == {name.replace("code-small", "code-tiny") for name in CHILDREN}


async def undisturbed(*edits: Any) -> dict[str, Any]:
    """What the same story ends in without a crash."""
    story = Story()
    story.cluster.put(cascade_body())
    await story.settle()
    for edit in edits:
        story.change_spec(edit)
        await story.settle()
    return story.cluster.normal_form("ns")


def lasting(form: dict[str, Any]) -> dict[str, Any]:
    """Without what a later moment or another order of creation changes."""
    for body in form.values():
        body["metadata"].pop("uid")
        for condition in (body.get("status") or {}).get("conditions") or ():
            condition.pop("lastTransitionTime")
    return form


def drop_and_add(spec: dict[str, Any]) -> None:
    """One tier goes, one comes, one changes."""
    spec["tiers"] = [tier("small", rank=11), tier("huge", "Specialist", 30)]
    spec["router"] = {"replicas": 2}


@pytest.mark.parametrize("edits", [(), (drop_and_add,)], ids=["create", "update"])
async def test_a_crash_after_any_write_changes_nothing(edits: tuple[Any, ...]) -> None:
    """Killed right after write N, for every N, the next process ends in the same objects (O1, O2)."""
    expected = lasting(await undisturbed(*edits))
    number = 0
    while True:
        number += 1
        story = Story()
        story.cluster.put(cascade_body())
        if edits:
            await story.settle()
            for edit in edits:
                story.change_spec(edit)
        story.cluster.after_write = crash_after(number)
        try:
            await story.settle()
        except CrashError:
            story.restart()
            await story.settle()
            assert lasting(story.cluster.normal_form("ns")) == expected, f"after a crash at write {number}"
        else:
            break
    assert number > 5, "the story has too few writes to prove anything"


async def test_a_crash_during_deletion_changes_nothing(story: Story) -> None:
    """A cascade that is gone leaves nothing behind, and a round for it writes nothing (O3)."""
    story.cluster.after_write = crash_after(5)
    with pytest.raises(CrashError):
        await story.settle()
    story.cluster.remove("ModelCascade", *KEY)
    story.restart()
    done = len(story.cluster.writes)
    assert (await story.reconcile()).result == "gone"
    assert story.writes_since(done) == []
    assert children(story) == set()


async def test_a_cascade_that_is_being_deleted_is_left_alone(story: Story) -> None:
    """With a deletion timestamp nothing is created any more."""
    story.cluster.edit(
        "ModelCascade", *KEY, lambda body: body["metadata"].update(deletionTimestamp="2026-11-24T08:00:00Z")
    )
    assert (await story.reconcile()).result == "gone"
    assert story.cluster.writes == []


async def test_a_foreign_object_is_never_touched(story: Story) -> None:
    """An object of a needed name that somebody else made stays as it is; the condition names it, the rest goes on."""
    foreign = story.cluster.put(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"namespace": "ns", "name": "code-small", "labels": {"app": "theirs"}},
            "spec": {"replicas": 3},
        }
    )
    await story.settle()
    assert story.cluster.body("Deployment", "ns", "code-small") == foreign
    conditions = story.cluster.body("ModelCascade", *KEY)["status"]["conditions"]
    (conflict,) = [found for found in conditions if found["reason"] == "NameConflict" and found["type"] != "Ready"]
    assert "code-small" in conflict["message"]
    assert children(story) == CHILDREN


async def test_our_labels_on_a_foreign_object_change_nothing(story: Story) -> None:
    """An object with our labels but another controller is neither updated nor deleted (O25)."""
    uid = story.cluster.body("ModelCascade", *KEY)["metadata"]["uid"]
    labels = {"app.kubernetes.io/managed-by": "modelcascade", "modelcascade.dev/cascade-uid": uid}
    owner = [{"apiVersion": "v1", "kind": "Thing", "name": "t", "uid": "other", "controller": True}]
    for name in ("code-small", "leftover"):
        story.cluster.put(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": "ns", "name": name, "labels": labels, "ownerReferences": owner},
                "spec": {},
            }
        )
    before = [story.cluster.body("Service", "ns", name) for name in ("code-small", "leftover")]
    await story.settle()
    assert [story.cluster.body("Service", "ns", name) for name in ("code-small", "leftover")] == before


async def test_created_by_somebody_else_at_the_last_moment(story: Story) -> None:
    """An object that appears between our look and our create is a conflict, not ours to take."""
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "ns", "name": "code"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"name": "http", "port": 1}]},
    }

    def appear(write: Write) -> None:
        if write == Write("apply", "Service", "code") and not story.cluster.bodies("Service", "ns"):
            story.cluster.put(foreign)

    story.cluster.before_write = appear
    await story.reconcile()
    assert story.cluster.body("Service", "ns", "code")["spec"] == foreign["spec"]
    assert story.condition("Ready")["reason"] == "NameConflict"


async def test_a_broken_spec_keeps_the_children(story: Story) -> None:
    """A spec that breaks a rule is Accepted=False with the field; the last good children keep serving."""
    await story.settle()
    before = {name: story.cluster.normal_form("ns")[name] for name in CHILDREN}
    story.change_spec(lambda spec: spec["tiers"][0].update(role="Boss"))
    done = len(story.cluster.writes)
    assert (await story.reconcile()).result == "refused"
    assert story.writes_since(done) == [("status", "ModelCascade", "code")]
    accepted = story.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    assert "role" in accepted["message"]
    assert {name: story.cluster.normal_form("ns")[name] for name in CHILDREN} == before


async def test_by_hand_changes_are_undone_and_foreign_ones_kept(story: Story) -> None:
    """A field of ours is restored, a deleted child comes back; others' annotations and a scaled number stay (O23)."""
    await story.settle()

    def meddle(body: dict[str, Any]) -> None:
        body["spec"]["template"]["spec"]["containers"][0]["image"] = "example.test/other"
        body["metadata"]["annotations"]["theirs"] = "kept"

    story.cluster.edit("Deployment", "ns", "code-small", meddle)
    story.cluster.remove("Service", "ns", "code")
    await story.settle()
    body = story.cluster.body("Deployment", "ns", "code-small")
    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == DEFAULTS.llama_cpp_image
    assert body["metadata"]["annotations"]["theirs"] == "kept"
    assert children(story) == CHILDREN


async def test_replicas_are_written_through_scale_only(story: Story) -> None:
    """A Fixed tier is scaled once; its Deployment's manifest never says a number."""
    story.change_spec(lambda spec: spec["tiers"][0].update(scaling={"mode": "Fixed", "replicas": 3}))
    await story.settle()
    assert story.cluster.body("Deployment", "ns", "code-small")["spec"]["replicas"] == 3
    scales = [write for write in story.writes_since(0) if write[0] == "scale"]
    assert scales == [("scale", "Deployment", "code-small")]


async def test_a_suspended_tier_goes_to_zero_and_back(story: Story) -> None:
    """Suspending keeps the Deployment at 0; waking it brings back its minimum."""
    await story.settle()
    story.change_spec(lambda spec: spec["tiers"][0].update(state="Suspended"))
    await story.settle()
    assert story.cluster.body("Deployment", "ns", "code-small")["spec"]["replicas"] == 0
    story.change_spec(lambda spec: spec["tiers"][0].update(state="Active"))
    await story.settle()
    assert story.cluster.body("Deployment", "ns", "code-small")["spec"]["replicas"] == 1


async def test_a_tier_that_starts_suspended_gets_no_deployment() -> None:
    """Nothing is started for a tier that was never Active."""
    story = Story()
    story.cluster.put(cascade_body(tier("small"), tier("large", "Specialist", 20, state="Suspended")))
    await story.settle()
    assert "Deployment/code-large" not in children(story)


class Refusal:
    """Refuses matching writes until it is lifted."""

    def __init__(self, cluster: FakeCluster, error: ClusterError, *, kind: str = "Deployment") -> None:
        self._error = error
        self._kind = kind
        cluster.before_write = self.check

    def check(self, write: Write) -> None:
        """See `FakeCluster.before_write`."""
        if write.kind == self._kind:
            raise self._error


async def test_a_conflict_is_read_again_and_tried_again(story: Story) -> None:
    """A 409 on the first write of each object costs a live read; the round still ends done (O15)."""
    seen: set[Write] = set()

    def once(write: Write) -> None:
        if write.verb == "apply" and write not in seen:
            seen.add(write)
            raise ClusterConflictError("somebody was faster", status=409)

    story.cluster.before_write = once
    assert (await story.reconcile()).result == "done"
    assert children(story) == CHILDREN


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ClusterInvalidError("spec.x: no", status=422), "ApplyFailed"),
        (ClusterForbiddenError("exceeded quota: q, requested: count/deployments.apps=1", status=403), "QuotaExceeded"),
        (ClusterForbiddenError('User "u" cannot patch resource "deployments"', status=403), "ApiForbidden"),
        (ClusterUnreachableError("failed calling webhook: timeout", status=500), "ApplyFailed"),
    ],
    ids=["invalid", "quota", "rbac", "webhook"],
)
async def test_one_refused_kind_does_not_stop_the_rest(story: Story, error: ClusterError, reason: str) -> None:
    """What can be written is written, the status says what could not and why, and it heals by itself."""
    Refusal(story.cluster, error)
    outcome = await story.reconcile()
    assert (outcome.result, outcome.error) == ("partial", error)
    assert children(story) == {name for name in CHILDREN if not name.startswith("Deployment/")}
    assert story.condition("Ready")["reason"] == reason
    assert str(error) in story.condition("Ready")["message"]
    story.restart()
    await story.settle()
    assert children(story) == CHILDREN


async def test_an_api_server_that_is_away_ends_the_round(story: Story) -> None:
    """Without an answer nothing is said about the cascade; the queue tries again."""
    Refusal(story.cluster, ClusterUnreachableError("no answer in time"), kind="Service")
    with pytest.raises(ClusterUnreachableError):
        await story.reconcile()
    assert "status" not in story.cluster.body("ModelCascade", *KEY)


async def test_a_namespace_that_ends_is_no_error(story: Story) -> None:
    """The 403 of a terminating namespace ends the round quietly, without a retry (O20)."""
    text = 'services "code" is forbidden: unable to create new content in namespace ns because it is being terminated'
    Refusal(story.cluster, ClusterForbiddenError(text, status=403), kind="Service")
    outcome = await story.reconcile()
    assert (outcome.result, outcome.error, outcome.look_again_s) == ("terminating", None, None)


async def test_an_object_that_the_server_changes_is_applied_once(story: Story) -> None:
    """A webhook that rewrites a field of ours is not fought for ever (O27)."""

    def rewrite(write: Write) -> None:
        if write == Write("apply", "Deployment", "code-small"):
            story.cluster.edit(
                "Deployment",
                "ns",
                "code-small",
                lambda body: body["spec"]["template"]["spec"].update(enableServiceLinks=True),
            )

    original = story.cluster.apply_as

    def apply_as(manager: str, body: Any, *, force: bool) -> dict[str, Any]:
        result = original(manager, body, force=force)
        rewrite(Write("apply", result["kind"], result["metadata"]["name"]))
        return story.cluster.body(result["kind"], "ns", result["metadata"]["name"])

    story.cluster.apply_as = apply_as  # type: ignore[method-assign]  # the webhook of this test's cluster
    await story.settle()
    done = len(story.cluster.writes)
    for _ in range(10):
        await story.reconcile()
    assert story.writes_since(done) == []
    story.change_spec(lambda spec: spec["tiers"][0]["local"]["resources"].update(cpu="600m"))
    await story.settle()
    assert ("apply", "Deployment", "code-small") in story.writes_since(done)


async def test_a_status_timestamp_does_not_move_by_stale_caches(story: Story) -> None:
    """A round that still sees the status from before our write does not write it again."""
    await story.reconcile()
    stale = story.cluster.indexes()
    story.cluster.edit("Deployment", "ns", "code-router", lambda body: body.update(status={"readyReplicas": 0}))
    first = story.cluster.body("ModelCascade", *KEY)["status"]
    await story.reconcile(stale)
    await story.reconcile(stale)
    assert story.cluster.body("ModelCascade", *KEY)["status"] == first


async def test_two_cascades_that_want_one_name() -> None:
    """Cascade a with tier b-c and cascade a-b with tier c want Deployment a-b-c: the second is told, not served."""
    story = Story()
    story.cluster.put(cascade_body(tier("b-c"), name="a"))
    story.cluster.put(cascade_body(tier("c"), name="a-b"))
    await story.settle(CascadeKey("ns", "a"))
    mine = story.cluster.body("Deployment", "ns", "a-b-c")
    await story.settle(CascadeKey("ns", "a-b"))
    assert story.cluster.body("Deployment", "ns", "a-b-c") == mine
    status = story.cluster.body("ModelCascade", "ns", "a-b")["status"]
    assert "NameConflict" in {condition["reason"] for condition in status["conditions"]}


async def test_events_tell_changes_of_conditions_only(story: Story) -> None:
    """One Event for each main condition that moved, none at rest, each about the cascade."""
    await story.settle()
    events = story.cluster.bodies("Event")
    assert {event["regarding"]["name"] for event in events} == {"code"}
    assert len(events) == 2
    for _ in range(5):
        await story.reconcile()
    assert len(story.cluster.bodies("Event")) == 2


async def test_an_event_that_is_refused_stops_nothing(story: Story) -> None:
    """Without the right to create Events the round still ends done."""
    Refusal(story.cluster, ClusterForbiddenError("no events for you", status=403), kind="Event")
    assert (await story.reconcile()).result == "done"


async def test_an_edit_during_the_round_is_seen_by_the_next(story: Story) -> None:
    """A status is never written over an edit: the round is outdated, and the next one knows what is there now."""
    await story.reconcile()
    old = story.cluster.indexes()
    old.cascades[KEY][0].pop("status")  # type: ignore[index]  # the cache of before our status
    story.change_spec(lambda spec: spec["tiers"][0].update(name="tiny"))
    story.restart()
    outcome = await story.reconcile(old)
    assert (outcome.result, outcome.look_again_s) == ("outdated", 1.0)
    assert "Deployment/code-tiny" not in children(story)
    assert (await story.reconcile(old)).result == "done"
    assert "Deployment/code-tiny" in children(story)
