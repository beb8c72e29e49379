"""
The engines that may be called now: slots, failures in a row, ejection, and the retry budget.

Never more than half of a tier's endpoints are ejected, so a tier of one keeps its one: a tier that fails as a whole is
left by fallback, not by ejection. After its time an ejected endpoint gets one request as a probe.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from yarl import URL

from modelcascade.routing.attempts import Outcome
from modelcascade.routing.fleet import FleetView, TierView

__all__ = ["EJECT_AFTER", "EJECT_S", "RETRY_WINDOW_S", "Endpoint", "Fleet", "RetryBudget"]

EJECT_AFTER = 5
EJECT_S = 10.0
MAX_EJECTIONS = 30
MAX_COOLING_S = 60.0
SLOTS_FACTOR = 2
RETRY_SHARE = 0.2
RETRY_WINDOW_S = 10.0
_ONE_RETRY = 1.5
"""A retry is forgotten when it counts for half: without traffic one is allowed in every window."""

_FAILURES = frozenset(
    {
        Outcome.CONNECT_FAILED,
        Outcome.UNAVAILABLE,
        Outcome.FIRST_TOKEN_TIMEOUT,
        Outcome.TIMED_OUT,
        Outcome.BROKEN,
    }
)


@dataclass(eq=False, slots=True)
class Endpoint:
    """One engine of one tier."""

    tier: str
    address: str
    url: URL
    cap: int
    in_flight: int = 0
    failures: int = 0
    ejections: int = 0
    ejected_until_s: float = 0.0
    cooling_until_s: float = 0.0

    def limit(self) -> int:
        """Requests that it may have at once; one while it proves itself after an ejection."""
        return 1 if self.failures >= EJECT_AFTER and self.ejections else self.cap


@dataclass(slots=True)
class RetryBudget:
    """At most a fifth of the recent requests may be repeated, or one: both counts halve every `RETRY_WINDOW_S`."""

    requests: float = 0.0
    retries: float = 0.0
    aged_at_s: float = 0.0

    def _age(self, now_s: float) -> None:
        kept: float = 0.5 ** (max(0.0, now_s - self.aged_at_s) / RETRY_WINDOW_S)
        self.aged_at_s = now_s
        self.requests *= kept
        self.retries *= kept

    def note_request(self, now_s: float) -> None:
        """One more request."""
        self._age(now_s)
        self.requests += 1

    def allows(self, now_s: float) -> bool:
        """Whether one more retry fits."""
        self._age(now_s)
        return self.retries + 1 <= max(_ONE_RETRY, RETRY_SHARE * self.requests)

    def note_retry(self) -> None:
        """One more retry."""
        self.retries += 1


@dataclass(slots=True)
class Fleet:
    """All endpoints of all tiers; read and changed on the event loop only."""

    tiers: dict[str, list[Endpoint]] = field(default_factory=dict)
    budget: RetryBudget = field(default_factory=RetryBudget)

    def set_tier(self, tier: str, addresses: Iterable[str], parallel: int) -> None:
        """Replace a tier's endpoints; those that stay keep their state, those that go finish what they have."""
        known = {endpoint.address: endpoint for endpoint in self.tiers.get(tier, ())}
        chosen = []
        for address in sorted(set(addresses)):
            endpoint = known.get(address) or Endpoint(tier, address, URL(f"{address}/v1/chat/completions"), 1)
            endpoint.cap = parallel * SLOTS_FACTOR
            chosen.append(endpoint)
        self.tiers[tier] = chosen

    def keep_tiers(self, names: Iterable[str]) -> None:
        """Forget the tiers that are not named."""
        kept = set(names)
        self.tiers = {name: endpoints for name, endpoints in self.tiers.items() if name in kept}

    def view(self, now_s: float) -> FleetView:
        """The endpoints now, as a value for a decision."""
        tiers = {}
        for name, endpoints in self.tiers.items():
            free = []
            full = 0
            retry_in_s = 1.0
            for endpoint in endpoints:
                if endpoint.ejected_until_s > now_s:
                    continue
                if endpoint.cooling_until_s > now_s:
                    full += 1
                    retry_in_s = max(retry_in_s, endpoint.cooling_until_s - now_s)
                elif endpoint.in_flight < endpoint.limit():
                    free.append(endpoint.address)
                else:
                    full += 1
            tiers[name] = TierView(tuple(free), full, retry_in_s)
        return FleetView(tiers, self.budget.allows(now_s))

    def take(self, tier: str, avoid: Iterable[str], now_s: float) -> Endpoint | None:
        """The free endpoint with the fewest requests, one not in `avoid` when there is one; its slot is taken."""
        best: Endpoint | None = None
        best_score: tuple[bool, int] | None = None
        avoided = set(avoid)
        for endpoint in self.tiers.get(tier, ()):
            busy = endpoint.in_flight >= endpoint.limit()
            if busy or endpoint.ejected_until_s > now_s or endpoint.cooling_until_s > now_s:
                continue
            score = (endpoint.address in avoided, endpoint.in_flight)
            if best_score is None or score < best_score:
                best, best_score = endpoint, score
        if best is not None:
            best.in_flight += 1
            # Equal ones take turns: the chosen one goes to the end.
            endpoints = self.tiers[tier]
            if len(endpoints) > 1:
                endpoints.remove(best)
                endpoints.append(best)
        return best

    def release(self, endpoint: Endpoint, outcome: Outcome | None, now_s: float, retry_after_s: float | None) -> None:
        """Give the slot back and learn from the outcome; `None` when the client left, which says nothing."""
        endpoint.in_flight -= 1
        if outcome is Outcome.OK or outcome is Outcome.REJECTED:
            endpoint.failures = 0
            endpoint.ejections = 0
        elif outcome is Outcome.OVERLOADED:
            endpoint.cooling_until_s = now_s + min(MAX_COOLING_S, retry_after_s or 1.0)
        elif outcome in _FAILURES:
            endpoint.failures += 1
            if endpoint.failures >= EJECT_AFTER:
                self._eject(endpoint, now_s)

    def _eject(self, endpoint: Endpoint, now_s: float) -> None:
        endpoints = self.tiers.get(endpoint.tier, [])
        ejected = sum(other.ejected_until_s > now_s for other in endpoints if other is not endpoint)
        if endpoint in endpoints and ejected + 1 <= len(endpoints) // 2:
            endpoint.ejections = min(MAX_EJECTIONS, endpoint.ejections + 1)
            endpoint.ejected_until_s = now_s + EJECT_S * endpoint.ejections
