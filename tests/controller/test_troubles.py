"""The reconcile when others are in the way: foreign objects, refusals, conflicts, an API server that is away."""

from datetime import timedelta
from typing import Any

import pytest

from controller.stories import CHILDREN, KEY, Story, cascade_body, children, tier
from fakes.fake_cluster import FakeCluster, Write
from modelcascade.errors import (
    ClusterConflictError,
    ClusterError,
    ClusterForbiddenError,
    ClusterInvalidError,
    ClusterUnreachableError,
)
from modelcascade.kube.indexes import CascadeKey


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
    (small,) = [one for one in story.cluster.body("ModelCascade", *KEY)["status"]["tiers"] if one["name"] == "small"]
    assert (small.get("replicas") or {}).get("desired", 0) == 0, "the foreign Deployment's pods count as ours"
    assert children(story) == CHILDREN


async def test_an_object_that_is_offered_is_adopted(story: Story) -> None:
    """With the annotation a person's object becomes ours, in place, and its own fields stay (O24)."""
    offered = story.cluster.put(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": "ns", "name": "code", "annotations": {"modelcascade.dev/adopt": "code"}},
            "spec": {"externalName": "kept"},
        }
    )
    await story.settle()
    body = story.cluster.body("Service", "ns", "code")
    assert body["metadata"]["uid"] == offered["metadata"]["uid"]
    assert body["metadata"]["ownerReferences"][0]["name"] == "code"
    assert body["spec"]["externalName"] == "kept"


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


def foreign_service(name: str) -> dict[str, Any]:
    """Somebody else's Service."""
    spec = {"selector": {"app": "theirs"}, "ports": [{"name": "http", "port": 1}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns", "name": name}, "spec": spec}


async def test_replaced_by_somebody_else_since_the_cache_was_filled(story: Story) -> None:
    """A cache that still shows our object does not make us touch, or delete, the foreign one in its place (O12)."""
    await story.settle()
    old = story.cluster.indexes()
    foreign = {}
    for name in ("code", "code-small"):
        story.cluster.remove("Service", "ns", name)
        foreign[name] = story.cluster.put(foreign_service(name))
    story.restart()
    (cached,) = old.cascades[KEY]
    edited = cached["spec"]  # our object differs from the plan (update), or is planned no more (prune)
    edited["router"] = {"replicas": 2}
    edited["tiers"][0]["name"] = "tiny"
    for child in old.children["ns", str(cached["metadata"]["uid"])]:
        child["metadata"]["annotations"].clear()
    await story.reconcile(old)
    for name, body in foreign.items():
        assert story.cluster.body("Service", "ns", name) == body


async def test_created_by_somebody_else_at_the_last_moment(story: Story) -> None:
    """An object that appears between our look and our create is a conflict, not ours to take."""
    foreign = foreign_service("code")

    def appear(write: Write) -> None:
        if write == Write("apply", "Service", "code") and not story.cluster.bodies("Service", "ns"):
            story.cluster.put(foreign)

    story.cluster.before_write = appear
    await story.reconcile()
    assert story.cluster.body("Service", "ns", "code")["spec"] == foreign["spec"]
    assert story.condition("Ready")["reason"] == "NameConflict"


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


async def test_nothing_is_deleted_while_something_is_refused(story: Story) -> None:
    """A renamed tier whose new Deployment is refused keeps the old one, which still serves."""
    await story.settle()
    story.change_spec(lambda spec: spec["tiers"][0].update(name="tiny"))
    Refusal(story.cluster, ClusterInvalidError("spec.x: no", status=422))
    assert (await story.reconcile()).result == "partial"
    assert {"Deployment/code-small", "Service/code-small"} <= children(story)
    story.restart()
    await story.settle()
    assert "Deployment/code-small" not in children(story)


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


async def test_an_event_that_is_refused_stops_nothing(story: Story) -> None:
    """Without the right to create Events the round still ends done."""
    Refusal(story.cluster, ClusterForbiddenError("no events for you", status=403), kind="Event")
    assert (await story.reconcile()).result == "done"


async def test_the_events_of_a_stuck_pod_are_read(story: Story) -> None:
    """A pod that does not start and does not say why costs one list of its Events, and the round comes again."""
    await story.settle()
    uid = story.cluster.body("ModelCascade", *KEY)["metadata"]["uid"]
    waiting = {"name": "engine", "state": {"waiting": {"reason": "ContainerCreating"}}}
    story.cluster.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": "ns",
                "name": "code-small-x",
                "uid": "pod-uid",
                "labels": {"app.kubernetes.io/managed-by": "modelcascade", "modelcascade.dev/cascade-uid": uid},
            },
            "spec": {"nodeName": "n", "containers": [{"name": "engine", "image": "i"}]},
            "status": {"containerStatuses": [waiting]},
        }
    )
    story.now += timedelta(minutes=1)
    outcome = await story.reconcile()
    assert (outcome.result, outcome.look_again_s) == ("done", 15.0)
    assert story.cluster.reads[-1] == Write("list", "Event", "pod-uid")


@pytest.mark.parametrize(("refusals", "result"), [(1, "done"), (2, "partial")])
async def test_a_prune_that_lost_a_race_looks_again(story: Story, refusals: int, result: str) -> None:
    """A 409 on a delete costs one more live read; a second one leaves it to the next round."""
    await story.settle()
    story.change_spec(lambda spec: spec["tiers"][0].update(name="tiny"))
    left = refusals

    def race(write: Write) -> None:
        nonlocal left
        if write == Write("delete", "Service", "code-small") and left:
            left -= 1
            raise ClusterConflictError("it has changed", status=409)

    story.cluster.before_write = race
    assert (await story.reconcile()).result == result
    await story.settle()
    assert "Service/code-small" not in children(story)


async def test_a_delete_that_is_forbidden_is_told(story: Story) -> None:
    """Without the right to delete, the condition names it and the object stays."""
    await story.settle()
    story.change_spec(lambda spec: spec["tiers"][0].update(name="tiny"))

    def forbid(write: Write) -> None:
        if write.verb == "delete":
            raise ClusterForbiddenError('User "u" cannot delete resource "services"', status=403)

    story.cluster.before_write = forbid
    assert (await story.reconcile()).result == "partial"
    assert "cannot delete" in story.condition("Ready")["message"]
    assert "Service/code-small" in children(story)


async def test_a_scale_that_is_forbidden_is_told(story: Story) -> None:
    """Without the right to scale, the condition names it and the rest of the round is done."""

    def forbid(write: Write) -> None:
        if write.verb == "scale":
            raise ClusterForbiddenError('User "u" cannot patch resource "deployments/scale"', status=403)

    story.change_spec(lambda spec: spec["tiers"][0].update(scaling={"mode": "Fixed", "replicas": 3}))
    story.cluster.before_write = forbid
    assert (await story.reconcile()).result == "partial"
    assert story.condition("Ready")["reason"] == "ApiForbidden"
    assert children(story) == CHILDREN
