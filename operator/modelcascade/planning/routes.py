"""The document that tells the router all it needs to know of its cascade."""

from modelcascade.api.documents import EscalationRules, Routes, RouteTier, VerificationRules
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.api.v1alpha1.local import Local
from modelcascade.api.v1alpha1.tiers import Tier
from modelcascade.planning.engines.spec import PORT
from modelcascade.planning.names import tier_name

__all__ = ["answering_tiers", "build_routes"]

_ROLE_ORDER = ("Small", "Specialist", "Frontier")


def answering_tiers(cascade: ModelCascade) -> tuple[tuple[int, Tier], ...]:
    """
    Every tier that can answer, with its rank, from the lowest up; suspended ones too.

    Declared ranks count when every answering tier has one. Otherwise roles order the tiers, a rank orders them
    within their role, and the position is the rank.
    """
    tiers = [tier for tier in cascade.spec.tiers if tier.role != "Guard"]
    declared = [(tier.rank, tier) for tier in tiers if tier.rank is not None]
    if len(declared) == len(tiers):
        return tuple(sorted(declared, key=lambda pair: pair[0]))
    return tuple(enumerate(sorted(tiers, key=lambda tier: (_ROLE_ORDER.index(tier.role), tier.rank or 0))))


def build_routes(cascade: ModelCascade) -> Routes:
    """Routes of all Active local tiers; the spec's rules leave at least one."""
    spec = cascade.spec
    verification = spec.routing.verification
    escalation = spec.routing.escalation
    return Routes(
        cascade=cascade.metadata.name,
        generation=cascade.metadata.generation,
        tiers=tuple(
            _route_tier(cascade, tier, tier.local, rank)
            for rank, tier in answering_tiers(cascade)
            if tier.state == "Active" and tier.local is not None
        ),
        verification=VerificationRules.model_validate(
            {
                "method": verification.method,
                "min_confidence_percent": verification.min_confidence_percent,
                "on_failure": verification.on_failure,
            }
        ),
        escalation=EscalationRules(
            max_escalations=escalation.max_escalations,
            deadline_seconds=escalation.deadline_seconds,
            on_exhausted=escalation.on_exhausted,
        ),
        streaming=spec.routing.streaming,
        decision_log="None" if spec.telemetry.decision_log == "None" else "Metadata",
    )


def _route_tier(cascade: ModelCascade, tier: Tier, local: Local, rank: int) -> RouteTier:
    return RouteTier.model_validate(
        {
            "name": tier.name,
            "role": tier.role,
            "rank": rank,
            "service": tier_name(cascade, tier),
            "port": PORT,
            "served_name": local.model.served_name or tier.name,
            "context_length": local.model.context_length,
            "parallel": local.engine.parallel,
            "capabilities": tier.capabilities,
        }
    )
