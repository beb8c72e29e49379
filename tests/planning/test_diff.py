"""Whose object is it, and is it as planned."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcascade.planning.diff import contains, controller_of, is_current
from modelcascade.planning.names import ADOPT_ANNOTATION, ObjectKey
from modelcascade.planning.objects import PlannedObject, inspect_image, with_inspect_image
from modelcascade.planning.plan import diff_plan, plan_cascade
from support.cascades import DEFAULTS, UID, accepted, cascade_body

PLAN = plan_cascade(accepted(cascade_body()), DEFAULTS)
ENGINE = ObjectKey("Deployment", "assist-small")
OTHER = {"apiVersion": "v1", "kind": "ModelCascade", "name": "other", "uid": "u2", "controller": True}


def planned(key: ObjectKey = ENGINE) -> PlannedObject:
    """One object of the plan."""
    return next(one for one in PLAN.objects if one.key == key)


def live(**metadata: Any) -> dict[str, Any]:
    """The engine's Deployment as applied, with other metadata."""
    body = copy.deepcopy(planned().body)
    body["metadata"] |= metadata
    return body


def outcome(found: dict[str, Any] | None) -> tuple[bool, bool, list[str]]:
    """Whether the engine's Deployment is applied, kept, and with whom it is in conflict."""
    changes = diff_plan(PLAN, {} if found is None else {ENGINE: found}, owner_uid=UID)
    return (
        ENGINE in {one.key for one in changes.apply},
        ENGINE in changes.keep,
        [conflict.owner for conflict in changes.conflicts if (conflict.key, conflict.tier) == (ENGINE, "small")],
    )


def changed(path: str, value: object) -> dict[str, Any]:
    """The live object after an edit by hand."""
    body = live()
    place: Any = body
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return body


POD = "spec.template.spec"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(None, (True, False, []), id="missing"),
        pytest.param(live(), (False, True, []), id="as planned"),
        pytest.param(changed(f"{POD}.containers.0.image", "x"), (True, False, []), id="image edited by hand"),
        pytest.param(changed(f"{POD}.containers.0.args", ["-m", "x"]), (True, False, []), id="args edited by hand"),
        pytest.param(changed(f"{POD}.enableServiceLinks", None), (True, False, []), id="field removed by hand"),
        pytest.param(changed(f"{POD}.volumes", []), (True, False, []), id="volumes removed by hand"),
        pytest.param(changed("spec.selector", "x"), (True, False, []), id="another type"),
        pytest.param(changed("metadata.labels", {}), (True, False, []), id="labels removed by hand"),
        pytest.param(
            changed(f"{POD}.initContainers.0.image", "older"), (False, True, []), id="inspect of an older operator"
        ),
        pytest.param(changed(f"{POD}.initContainers", []), (True, False, []), id="inspect removed by hand"),
        pytest.param(changed("spec.replicas", 5), (False, True, []), id="scaled"),
        pytest.param(
            changed("metadata.annotations", {"modelcascade.dev/applied-hash": "0"}),
            (True, False, []),
            id="older manifest",
        ),
        pytest.param(changed("metadata.annotations", None), (True, False, []), id="no hash"),
        pytest.param(live(deletionTimestamp="2026-01-01T00:00:00Z"), (False, True, []), id="being deleted"),
        pytest.param(
            live(ownerReferences=[OTHER]),
            (False, False, ["is controlled by ModelCascade other (uid u2)"]),
            id="another cascade's, with our labels",
        ),
        pytest.param(live(ownerReferences=[]), (False, False, ["has no controller"]), id="nobody's"),
        pytest.param(
            live(ownerReferences=[OTHER | {"controller": False}]),
            (False, False, ["has no controller"]),
            id="owned only",
        ),
        pytest.param(
            live(ownerReferences=[], annotations={ADOPT_ANNOTATION: "assist"}),
            (True, False, []),
            id="handed over to us",
        ),
        pytest.param(
            live(ownerReferences=[], annotations={ADOPT_ANNOTATION: "other"}),
            (False, False, ["has no controller"]),
            id="handed over to another",
        ),
        pytest.param(
            live(ownerReferences=[OTHER], annotations={ADOPT_ANNOTATION: "assist"}),
            (False, False, ["is controlled by ModelCascade other (uid u2)"]),
            id="handed over, but controlled",
        ),
    ],
)
def test_what_happens_to_an_object(found: dict[str, Any] | None, expected: tuple[bool, bool, list[str]]) -> None:
    """Ours is brought back to the plan, a stranger's is never touched, whatever its labels say."""
    assert expected == outcome(found)


@pytest.mark.parametrize(
    ("metadata", "pruned"),
    [
        pytest.param({}, True, id="ours"),
        pytest.param({"ownerReferences": [OTHER]}, False, id="our labels, another owner"),
        pytest.param({"ownerReferences": []}, False, id="our labels, no owner"),
        pytest.param({"deletionTimestamp": "2026-01-01T00:00:00Z"}, False, id="going already"),
    ],
)
def test_only_our_own_leftovers_are_pruned(metadata: dict[str, Any], *, pruned: bool) -> None:
    """Ownership by uid decides, never a label."""
    key = ObjectKey("Deployment", "assist-gone")
    changes = diff_plan(PLAN, {key: live(name="assist-gone", **metadata)}, owner_uid=UID)
    assert ((key,) if pruned else ()) == changes.prune


@pytest.mark.parametrize(
    ("there", "wanted", "expected"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, True, id="more fields"),
        pytest.param({"a": {"b": [1, 2]}}, {"a": {"b": [1]}}, False, id="a plain list is compared whole"),
        pytest.param({}, {"a": {}}, True, id="empty object may be absent"),
        pytest.param({}, {"a": []}, True, id="empty list may be absent"),
        pytest.param({}, {"a": {"b": 1}}, False, id="object missing"),
        pytest.param({"a": [{"n": 1, "d": 0}, {"n": 2}]}, {"a": [{"n": 2}, {"n": 1}]}, True, id="items with defaults"),
        pytest.param({"a": [{"n": 1}]}, {"a": [{"n": 1}, {"n": 2}]}, False, id="item missing"),
        pytest.param({"a": {"n": 1}}, {"a": [{"n": 1}]}, False, id="no list"),
        pytest.param({"a": [1]}, {"a": {"n": 1}}, False, id="no object"),
        pytest.param({"a": "1"}, {"a": 1}, False, id="another type"),
    ],
)
def test_containment(there: object, wanted: object, *, expected: bool) -> None:
    """What servers add is no difference; what is wanted and not there is one."""
    assert expected is contains(there, wanted)


JSON = st.recursive(
    st.none() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_everything_contains_itself(value: object) -> None:
    """Applying what is there would be a write at rest."""
    assert contains(value, value)


@given(st.dictionaries(st.sampled_from("abc"), JSON), st.dictionaries(st.sampled_from("xyz"), JSON))
def test_added_fields_never_matter(value: dict[str, Any], added: dict[str, Any]) -> None:
    """Whatever others put beside our fields, we leave it alone."""
    assert contains(value | added, value)


def test_the_inspection_image_is_found_and_replaced_only_where_it_is() -> None:
    """Objects without an inspection are the same afterwards."""
    service = planned(ObjectKey("Service", "assist-small")).body
    assert (None, service) == (inspect_image(service), with_inspect_image(service, "x"))
    assert inspect_image(with_inspect_image(planned().body, "x")) == "x"
    assert inspect_image(planned().body) == DEFAULTS.operator_image


def test_a_live_object_without_metadata_is_not_current() -> None:
    """Half an object, as from a broken cache, is never taken for ours."""
    assert (False, None) == (is_current(planned(), {}), controller_of({}))
