"""What one router process holds: the routes in force, the fleet, the upstream, the meters."""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelcascade.api.documents import DocumentProblem, Routes, parse_routes
from modelcascade.api.telemetry import RouterMetric
from modelcascade.meters import Meters
from modelcascade.router.decision_log import DecisionLog
from modelcascade.router.endpoints import Fleet
from modelcascade.router.upstream import Upstream

__all__ = ["RouterLimits", "RouterState"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RouterLimits:
    """Limits of a request; only tests pass other values."""

    header_bytes: int = 16 * 1024
    body_bytes: int = 4 * 1024 * 1024
    body_s: float = 30.0
    heartbeat_s: float = 10.0
    thread_bytes: int = 256 * 1024
    """Bodies above this are parsed in a thread, so that health checks go on."""

    thread_objects: int = 100
    """Bodies with more JSON objects than this, too."""


@dataclass(slots=True)
class RouterState:
    """Read by every request; changed by the sources and by nothing else."""

    upstream: Upstream
    meters: Meters
    decisions: DecisionLog
    fleet: Fleet = field(default_factory=Fleet)
    limits: RouterLimits = field(default_factory=RouterLimits)
    routes: Routes | None = None
    endpoints_synced: bool = False
    """The first list of EndpointSlices is in; always so where the routes name URLs."""

    draining: bool = False
    aborting: bool = False
    """The grace is over: what still runs is cut with an error."""

    tasks: set["asyncio.Task[object]"] = field(default_factory=set)
    """Requests in hand."""

    _services: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _hash: str = ""

    @property
    def ready(self) -> bool:
        """Routes and the first list of endpoints are there, and the process is not on its way out."""
        return self.routes is not None and self.endpoints_synced and not self.draining

    def offer_routes(self, text: str | bytes) -> DocumentProblem | None:
        """Put a routes document in force as a whole, or keep the last good one and say why."""
        parsed = parse_routes(text)
        if isinstance(parsed, DocumentProblem):
            self.reject_routes(parsed.message)
            return parsed
        raw = text.encode() if isinstance(text, str) else text
        digest = hashlib.sha256(raw).hexdigest()[:16]
        if digest == self._hash:
            return None
        self.routes, self._hash = parsed, digest
        self._fill_fleet()
        self.meters.forget(RouterMetric.CONFIG_INFO)
        self.meters.put(RouterMetric.CONFIG_INFO, digest, value=1)
        self.meters.put(RouterMetric.CONFIG_GENERATION, value=parsed.generation)
        logger.info("routes in force", extra={"generation": parsed.generation, "hash": digest})
        return None

    def reject_routes(self, message: str) -> None:
        """Count and tell a refused document; what is in force stays."""
        self.meters.count(RouterMetric.CONFIG_REJECTED, "invalid")
        logger.error("routes refused, the last good ones stay in force", extra={"problem": message})

    def offer_services(self, services: Mapping[str, Iterable[str]]) -> None:
        """The whole truth about endpoints: base URLs of each Service that are ready and not terminating."""
        self._services = {name: tuple(addresses) for name, addresses in services.items()}
        self.endpoints_synced = True
        self._fill_fleet()

    def _fill_fleet(self) -> None:
        if self.routes is None:
            return
        self.fleet.keep_tiers(tier.name for tier in self.routes.tiers)
        for tier in self.routes.tiers:
            urls = tier.urls if tier.service is None else self._services.get(tier.service, ())
            bases = [url.rstrip("/").removesuffix("/v1") for url in urls]
            self.fleet.set_tier(tier.name, bases, tier.parallel)
        if all(tier.service is None for tier in self.routes.tiers):
            self.endpoints_synced = True

    def expose(self, now_s: float) -> bytes:
        """The metrics page; gauges of the fleet are filled in as they are now."""
        self.meters.forget(RouterMetric.ENDPOINTS)
        self.meters.forget(RouterMetric.REQUESTS)
        for name, endpoints in self.fleet.tiers.items():
            ejected = sum(endpoint.ejected_until_s > now_s for endpoint in endpoints)
            self.meters.put(RouterMetric.ENDPOINTS, name, "ready", value=len(endpoints) - ejected)
            self.meters.put(RouterMetric.ENDPOINTS, name, "ejected", value=ejected)
            running = sum(endpoint.in_flight for endpoint in endpoints)
            self.meters.put(RouterMetric.REQUESTS, name, "running", value=running)
        return self.meters.expose()
