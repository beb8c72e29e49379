"""The reconcile against an in-memory cluster: create, edit, crash, conflict, refuse, delete, rest."""

from typing import Any

import pytest

from controller.stories import CHILDREN, DEFAULTS, KEY, CrashError, Story, cascade_body, children, crash_after, tier


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


async def test_a_status_timestamp_does_not_move_by_stale_caches(story: Story) -> None:
    """A round that still sees the status from before our write does not write it again."""
    await story.reconcile()
    stale = story.cluster.indexes()
    story.cluster.edit("Deployment", "ns", "code-router", lambda body: body.update(status={"readyReplicas": 0}))
    first = story.cluster.body("ModelCascade", *KEY)["status"]
    await story.reconcile(stale)
    await story.reconcile(stale)
    assert story.cluster.body("ModelCascade", *KEY)["status"] == first


async def test_events_tell_changes_of_conditions_only(story: Story) -> None:
    """One Event for each main condition that moved, none at rest, each about the cascade."""
    await story.settle()
    events = story.cluster.bodies("Event")
    assert {event["regarding"]["name"] for event in events} == {"code"}
    assert len(events) == 2
    for _ in range(5):
        await story.reconcile()
    assert len(story.cluster.bodies("Event")) == 2


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
