"""
A snapshot to a status: facts as ordered checks that each give a reason, and `Ready` from them.

Equal snapshots give equal statuses: nothing in here depends on `now` but the time of a transition.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from modelcascade.api.conditions import READY_FACTS, ConditionStatus, ConditionType, set_condition
from modelcascade.api.parse import SpecProblems
from modelcascade.api.problems import Problem
from modelcascade.api.reasons import ConditionReason
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.status import CascadeStatus, Condition
from modelcascade.planning.plan import CascadePlan
from modelcascade.status.facts import Fact, accept_spec, judge_models, judge_quantization, judge_router, judge_tiers
from modelcascade.status.snapshot import Snapshot
from modelcascade.status.tiers import TierView, router_of, tiers_of

__all__ = ["assess_cascade"]


def assess_cascade(
    cascade: ModelCascade | SpecProblems,
    plan: CascadePlan | None,
    snapshot: Snapshot,
    unsupported: Sequence[Problem],
    now: datetime,
) -> CascadeStatus:
    """
    What to report.

    Args:
        cascade: the parsed spec, or what is wrong with it.
        plan: what should exist; `None` when the spec cannot be planned. The children are then judged as they are,
            with the tiers of the last status, because they keep serving.
        snapshot: what was seen, after this round's writes.
        unsupported: what this version does not serve of the spec.
        now: the time of conditions that change.
    """
    previous = _previous_status(snapshot.cascade)
    generation = int(snapshot.cascade["metadata"].get("generation") or 0)
    spec = cascade if isinstance(cascade, ModelCascade) and plan is not None else None
    tiers = tiers_of(spec, plan, snapshot, previous)
    facts: dict[ConditionType, Fact] = {"Accepted": accept_spec(cascade, unsupported)}
    if tiers:
        active = [tier for tier in tiers if tier.is_active]
        facts |= {
            "ModelsAvailable": judge_models(active),
            "QuantizationMatched": judge_quantization(active),
            "TiersReady": judge_tiers(active),
            "RouterReady": judge_router(router_of(plan, snapshot)),
        }
    conditions = _conditions(facts, previous, generation, now, is_planned=plan is not None)
    is_accepted = facts["Accepted"].status == "True"
    return CascadeStatus(
        conditions=conditions,
        observed_generation=generation,
        url=_url(snapshot.cascade) if is_accepted else previous.url,
        ready_tiers=_ready_tiers(tiers),
        tiers=tuple(tier.status for tier in tiers),
    )


def _previous_status(body: Mapping[str, Any]) -> CascadeStatus:
    """The status as last written; one that cannot be read (another version's) is as if it were absent."""
    try:
        return CascadeStatus.model_validate_json(to_json(body.get("status") or {}))
    except ValidationError:
        return CascadeStatus()


def _url(body: Mapping[str, Any]) -> str:
    return f"http://{body['metadata']['name']}.{body['metadata']['namespace']}.svc/v1"


def _ready_tiers(tiers: Sequence[TierView]) -> str | None:
    """Such as 1/2: Active tiers that do their work, of all that must."""
    needed = [tier for tier in tiers if tier.is_active]
    return f"{sum(tier.fault is None for tier in needed)}/{len(needed)}" if tiers else None


def _conditions(
    facts: Mapping[ConditionType, Fact], previous: CascadeStatus, generation: int, now: datetime, *, is_planned: bool
) -> tuple[Condition, ...]:
    """`Ready` first, then its facts. Facts about children of an older spec keep that spec's generation."""
    judged = generation if is_planned else previous.observed_generation or 0

    def condition(name: ConditionType, fact: Fact, from_generation: int) -> Condition:
        return set_condition(
            previous.conditions,
            name,
            fact.status,
            fact.reason,
            fact.message,
            observed_generation=from_generation,
            now=now,
        )

    ready = condition("Ready", _judge_ready(facts), generation)
    return (
        ready,
        *(condition(name, fact, generation if name == "Accepted" else judged) for name, fact in facts.items()),
    )


def _judge_ready(facts: Mapping[ConditionType, Fact]) -> Fact:
    """
    True when every fact is. Otherwise the first that is False gives reason and message, else the first Unknown.

    A fact that only needs time gives way to one that needs a person.
    """
    missing = [facts[name] for name in READY_FACTS if name in facts and facts[name].status != "True"]
    if not missing:
        return Fact("True", ConditionReason.READY, "Everything that must answer answers.")
    order: dict[ConditionStatus, int] = {"False": 0, "Unknown": 1, "True": 2}
    worst = min(missing, key=lambda fact: (fact.is_progress, order[fact.status]))
    return Fact("False", worst.reason, worst.message)
