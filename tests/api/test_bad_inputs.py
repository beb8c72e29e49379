"""The whole table of bad inputs, offline: the same verdicts, paths and messages as the API server's."""

from typing import Any

import pytest

from modelcascade.api.cel import is_transition, rule_holds
from modelcascade.api.markers import rules_of
from modelcascade.api.parse import SpecProblems, parse_cascade_strict, parse_policy_strict
from modelcascade.api.v1alpha1.tiers import Tier
from support.bad_inputs import BAD, GOOD, BadInput, GoodInput, base_object

OFFLINE = [case for case in BAD if not case.update]


def verdict(kind: str, body: dict[str, Any]) -> list[tuple[str, str]]:
    """Path and message of every problem; empty when the object is accepted."""
    parsed = parse_cascade_strict(body) if kind == "ModelCascade" else parse_policy_strict(body)
    return [(each.path, each.message) for each in parsed.problems] if isinstance(parsed, SpecProblems) else []


def test_the_list_is_whole() -> None:
    """Every live number of the list is there once; retired numbers stay retired."""
    numbers = [case.number for case in BAD]
    assert numbers == sorted(set(numbers))
    assert set(range(1, 144)) - set(numbers) == {60, 61, 112, 136}
    assert numbers[-1] == len(numbers) + 4, "new cases go to the end, without a gap"


@pytest.mark.parametrize("case", OFFLINE, ids=str)
def test_a_bad_input_is_refused_with_its_path_and_message(case: BadInput) -> None:
    """The case's own problem is found, and no further one that the table does not name."""
    found = verdict(case.kind, case.body)
    assert (case.path, case.message) in found
    assert set(found) - {(case.path, case.message)} <= case.further


@pytest.mark.parametrize("case", GOOD, ids=str)
def test_an_accepted_neighbour_stays_accepted(case: GoodInput) -> None:
    """A rule that refuses too much is seen."""
    assert verdict(case.kind, case.body) == []


def test_a_role_does_not_change_under_one_name() -> None:
    """The transition rule of case 11, evaluated on the tier before and after."""
    case = next(case for case in BAD if case.update)
    (rule,) = [rule for rule in rules_of(Tier) if is_transition(rule)]
    before, after = base_object(case.kind)["spec"]["tiers"][1], case.body["spec"]["tiers"][1]
    assert not rule_holds(rule, {"self": after, "oldSelf": before})
    assert rule_holds(rule, {"self": before, "oldSelf": before})
    assert rule.message == case.message
