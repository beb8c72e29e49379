"""
Metric specs become prometheus-client collectors; label sets are looked up once and kept.

A child per label set is remembered here, because a look-up in prometheus-client takes a lock and builds a key, and
the router counts a dozen times a request.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from modelcascade.api.telemetry import MetricSpec

__all__ = ["Meters"]

_Collector = Counter | Gauge | Histogram


def _collector(spec: MetricSpec, registry: CollectorRegistry) -> _Collector:
    match spec.kind:
        case "counter":
            return Counter(spec.name, spec.text, spec.labels, registry=registry)
        case "gauge":
            return Gauge(spec.name, spec.text, spec.labels, registry=registry)
        case "histogram":
            return Histogram(spec.name, spec.text, spec.labels, registry=registry, buckets=spec.buckets)


class Meters:
    """The metrics of one process."""

    def __init__(self, specs: Iterable[MetricSpec]) -> None:
        self._registry = CollectorRegistry()
        self._collectors = {spec.name: _collector(spec, self._registry) for spec in specs}
        self._children: dict[tuple[str, ...], _Collector] = {}

    def _child(self, key: tuple[str, ...]) -> _Collector:
        child = self._children.get(key)
        if child is None:
            collector = self._collectors[key[0]]
            child = self._children[key] = collector.labels(*key[1:]) if key[1:] else collector
        return child

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Add to a counter."""
        child = self._child((name, *labels))
        if isinstance(child, Counter):
            child.inc(by)

    def move(self, name: str, *labels: str, by: float) -> None:
        """Add to a gauge, or take away."""
        child = self._child((name, *labels))
        if isinstance(child, Gauge):
            child.inc(by)

    def put(self, name: str, *labels: str, value: float) -> None:
        """Set a gauge."""
        child = self._child((name, *labels))
        if isinstance(child, Gauge):
            child.set(value)

    def observe(self, name: str, *labels: str, value: float) -> None:
        """Add one value to a histogram."""
        child = self._child((name, *labels))
        if isinstance(child, Histogram):
            child.observe(value)

    def forget(self, name: str) -> None:
        """Drop all label sets of a metric, such as those of tiers that are gone."""
        self._collectors[name].clear()
        self._children = {key: child for key, child in self._children.items() if key[0] != name}

    def expose(self) -> bytes:
        """The text exposition."""
        return generate_latest(self._registry)
