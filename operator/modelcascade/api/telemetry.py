"""
Every metric name, with its labels and help; `meters` makes collectors of them, and nothing else names a metric.

Labels come from closed sets. `namespace` and `cascade` are added by the scrape; a tenant or a text is never a label.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["OPERATOR_METRICS", "ROUTER_METRICS", "MetricSpec", "OperatorMetric", "RouterMetric"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
_OVERHEAD_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_CONFIDENCE = (
    0.05,
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
    0.35,
    0.4,
    0.45,
    0.5,
    0.55,
    0.6,
    0.65,
    0.7,
    0.75,
    0.8,
    0.85,
    0.9,
    0.95,
    1.0,
)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric as it is exposed."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class RouterMetric:
    """Names of the router's metrics (routing.md 6, autoscaling.md for those that scaling reads)."""

    DEMAND = "modelcascade_router_demand_total"
    REQUESTS = "modelcascade_router_requests"
    JUDGED = "modelcascade_router_judged_total"
    ESCALATIONS = "modelcascade_router_escalations_total"
    FALLBACKS = "modelcascade_router_fallbacks_total"
    ATTEMPTS = "modelcascade_router_attempts_total"
    RESPONSES = "modelcascade_router_responses_total"
    TOKENS = "modelcascade_router_tokens_total"
    E2E = "modelcascade_router_e2e_seconds"
    TTFT = "modelcascade_router_ttft_seconds"
    OVERHEAD = "modelcascade_router_overhead_seconds"
    CONFIDENCE = "modelcascade_router_confidence"
    ENDPOINTS = "modelcascade_router_endpoints"
    CLIENT_CANCELLED = "modelcascade_router_client_cancelled_total"
    CONFIG_INFO = "modelcascade_router_config_info"
    CONFIG_GENERATION = "modelcascade_router_config_generation"
    CONFIG_REJECTED = "modelcascade_router_config_rejected_total"


_M = RouterMetric
ROUTER_METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(_M.DEMAND, "counter", "Requests that wanted a tier, before any refusal.", ("tier", "source")),
    MetricSpec(_M.REQUESTS, "gauge", "Requests at a tier now.", ("tier", "state")),
    MetricSpec(_M.JUDGED, "counter", "Verified answers; to_tier is empty for accepted ones.", ("tier", "to_tier")),
    MetricSpec(_M.ESCALATIONS, "counter", "Moves to a higher tier for quality.", ("from_tier", "to_tier", "reason")),
    MetricSpec(_M.FALLBACKS, "counter", "Moves to another tier for failure.", ("from_tier", "to_tier", "reason")),
    MetricSpec(_M.ATTEMPTS, "counter", "Calls to engines.", ("tier", "purpose", "outcome")),
    MetricSpec(_M.RESPONSES, "counter", "Responses to clients; tier is empty for errors.", ("tier", "code", "reason")),
    MetricSpec(_M.TOKENS, "counter", "Tokens as engines counted them, discarded answers included.", ("tier", "kind")),
    MetricSpec(_M.E2E, "histogram", "From the request to the end of its response.", ("tier",), _SECONDS),
    MetricSpec(_M.TTFT, "histogram", "From the request to the first token at the client.", ("tier",), _SECONDS),
    MetricSpec(_M.OVERHEAD, "histogram", "Time in the router itself, attempts left out.", (), _OVERHEAD_SECONDS),
    MetricSpec(_M.CONFIDENCE, "histogram", "Confidence of verified answers.", ("tier",), _CONFIDENCE),
    MetricSpec(_M.ENDPOINTS, "gauge", "Endpoints that the router knows.", ("tier", "state")),
    MetricSpec(_M.CLIENT_CANCELLED, "counter", "Requests whose client went away.", ("tier",)),
    MetricSpec(_M.CONFIG_INFO, "gauge", "1 for the routes in force.", ("hash",)),
    MetricSpec(_M.CONFIG_GENERATION, "gauge", "Generation of the cascade that the routes in force come from."),
    MetricSpec(_M.CONFIG_REJECTED, "counter", "Routes documents that were refused.", ("reason",)),
)


class OperatorMetric:
    """Names of the operator's metrics."""

    RECONCILES = "modelcascade_operator_reconciles_total"
    RECONCILE_SECONDS = "modelcascade_operator_reconcile_seconds"
    WRITES = "modelcascade_operator_writes_total"
    QUEUE_DEPTH = "modelcascade_operator_queue_depth"
    LOOP_LAG = "modelcascade_operator_loop_lag_seconds"


_O = OperatorMetric
_ROUND_SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
OPERATOR_METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(_O.RECONCILES, "counter", "Rounds by how they ended; a failure by its class.", ("result",)),
    MetricSpec(_O.RECONCILE_SECONDS, "histogram", "Duration of one round.", (), _ROUND_SECONDS),
    MetricSpec(_O.WRITES, "counter", "Writes to the API server.", ("verb", "kind")),
    MetricSpec(_O.QUEUE_DEPTH, "gauge", "Cascades that wait for a round."),
    MetricSpec(_O.LOOP_LAG, "gauge", "How much later than asked the event loop woke up last, in seconds."),
)
