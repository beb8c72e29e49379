"""Names and selectors: they fit, they never meet, and they hold the cascade's uid."""

from hypothesis import given
from hypothesis import strategies as st

from modelcascade.api.v1alpha1.tiers import RESERVED_TIER_NAMES
from modelcascade.planning import names
from modelcascade.planning.plan import plan_cascade
from support.cascades import DEFAULTS, UID, accepted, cascade_body, tier_body

CASCADE_NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
TIER_NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True).filter(
    lambda name: name not in RESERVED_TIER_NAMES
)


@given(CASCADE_NAMES, st.lists(TIER_NAMES, min_size=1, max_size=3, unique=True))
def test_names_fit_and_are_unique_in_a_cascade(cascade: str, tiers: list[str]) -> None:
    """Any allowed names give objects with names of at most 63 characters, each of its own."""
    body = cascade_body(*(tier_body(name) | {"rank": rank} for rank, name in enumerate(tiers)))
    body["metadata"]["name"] = cascade
    keys = [planned.key for planned in plan_cascade(accepted(body), DEFAULTS).objects]
    assert len(keys) == len(set(keys))
    assert all(len(key.name) <= 63 for key in keys)
    assert all(key.name.startswith(cascade) for key in keys)


def test_selectors_hold_the_uid_and_select_only_their_own() -> None:
    """Nobody's labels but ours put a pod behind a Service: each selector has the uid and fits one component."""
    cascade = accepted(cascade_body())
    small, large = cascade.spec.tiers
    selectors = [
        names.router_selector(cascade),
        names.tier_selector(cascade, small),
        names.tier_selector(cascade, large),
    ]
    labels = [
        names.router_labels(cascade),
        names.tier_labels(cascade, small),
        names.tier_labels(cascade, large),
    ]
    assert all(selector[names.UID_LABEL] == UID for selector in selectors)
    fits = [[selector.items() <= label.items() for label in labels] for selector in selectors]
    assert fits == [[True, False, False], [False, True, False], [False, False, True]]


def test_the_watch_selector_finds_every_child() -> None:
    """The operator's filtered watch would be blind to a child without these labels."""
    key, _, value = names.CHILD_SELECTOR.partition("=")
    plan = plan_cascade(accepted(cascade_body(router={"replicas": 2})), DEFAULTS)
    assert {planned.body["metadata"]["labels"].get(key) for planned in plan.objects} == {value}
    assert f"{names.CHILD_SELECTOR},modelcascade.dev/cascade-uid={UID}" == names.cascade_selector(UID)


def test_object_keys_read_as_people_write_them() -> None:
    """Messages name an object as kubectl does."""
    assert str(names.deployment_key("assist", "small")) == "Deployment/assist-small"
