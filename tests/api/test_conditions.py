"""Conditions move only when they change, and their names are one closed list."""

from datetime import UTC, datetime, timedelta
from typing import get_args

from modelcascade.api.conditions import CONDITION_TEXT, READY_FACTS, ConditionType, find_condition, set_condition
from modelcascade.api.reasons import CONDITION_REASON_TEXT, ConditionReason

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_a_first_condition_is_dated_now_in_whole_seconds() -> None:
    """The API server keeps no fractions, so ours has none either."""
    found = set_condition((), "Ready", "False", ConditionReason.STARTING, "m", observed_generation=1, now=NOW)
    assert found.last_transition_time == NOW.replace(microsecond=0)
    assert (found.reason, found.observed_generation) == ("Starting", 1)


def test_the_date_moves_only_with_the_status() -> None:
    """A new reason, message or generation keeps the date."""
    first = set_condition((), "Ready", "False", ConditionReason.STARTING, "m", observed_generation=1, now=NOW)
    later = NOW + timedelta(minutes=1)
    same = set_condition((first,), "Ready", "False", ConditionReason.ROLLING_OUT, "n", observed_generation=2, now=later)
    assert (same.last_transition_time, same.reason) == (first.last_transition_time, "RollingOut")
    moved = set_condition((same,), "Ready", "True", ConditionReason.READY, "n", observed_generation=2, now=later)
    assert moved.last_transition_time == later.replace(microsecond=0)


def test_a_long_message_is_cut() -> None:
    """A message may quote somebody else's text; the schema ends at 2048 characters."""
    found = set_condition((), "Ready", "False", ConditionReason.STARTING, "m" * 5000, observed_generation=1, now=NOW)
    assert len(found.message) == 2048
    assert found.message.endswith("…")


def test_a_condition_is_found_by_its_type() -> None:
    """`None` when it was never judged."""
    ready = set_condition((), "Ready", "True", ConditionReason.READY, "m", observed_generation=1, now=NOW)
    assert find_condition((ready,), "Ready") == ready
    assert find_condition((ready,), "Accepted") is None


def test_every_condition_and_reason_has_its_sentence() -> None:
    """The reference is generated from these tables."""
    assert set(CONDITION_TEXT) == set(get_args(ConditionType))
    assert set(READY_FACTS) < set(CONDITION_TEXT)
    assert set(CONDITION_REASON_TEXT) == set(ConditionReason)
