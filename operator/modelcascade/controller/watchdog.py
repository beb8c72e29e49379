"""
A watch that died must never look healthy: three defences, tested against every version of kopf.

(a) `EndlessBackoffs`: a request is retried for ever, so no outage outlasts the retries.
(b) `WatcherDeath`: kopf's own log line about a failed watcher ends the process.
(c) `WatchProbe`: the liveness probe fails when a kind that we serve has no live watcher.

Task names and the orchestrator's logger are no public names of kopf: tests/controller/test_watchdog.py keeps them
honest.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Iterator

from modelcascade.kube.resources import Resource
from modelcascade.kube.watch import backoff_s

__all__ = ["ORCHESTRATOR_LOGGER", "EndlessBackoffs", "WatchProbe", "WatcherDeath", "watcher_names"]

ORCHESTRATOR_LOGGER = "kopf._core.reactor.orchestration"
_PREFIX = "watcher for "


class EndlessBackoffs(Iterable[float]):
    """Jittered delays that double up to a minute and never end; each use starts anew."""

    def __iter__(self) -> Iterator[float]:
        failures = 0
        while True:
            failures += 1
            yield backoff_s(failures, fraction=random.random())  # noqa: S311 - jitter


class WatcherDeath(logging.Handler):
    """Calls `on_death` with kopf's line when a watcher has failed."""

    def __init__(self, on_death: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._on_death = on_death

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        message = record.getMessage()
        if message.lower().startswith(_PREFIX) and "has failed" in message:
            self._on_death(message)


def watcher_names(resources: Iterable[Resource], namespaces: tuple[str, ...]) -> frozenset[str]:
    """The task names of the watchers that must live; without `namespaces` they watch the whole cluster."""
    return frozenset(
        f"{_PREFIX}{'.'.join(part for part in (resource.plural, resource.version, resource.group) if part)}@{namespace}"
        for resource in resources
        for namespace in namespaces or ("None",)
    )


class WatchProbe:
    """
    Compares the live tasks with the watchers that must live.

    Args:
        expected: names of the tasks.
        monotonic_s: the clock.
        grace_s: how long the first appearance of all of them may take.
    """

    def __init__(self, expected: frozenset[str], monotonic_s: Callable[[], float], *, grace_s: float = 120.0) -> None:
        self._expected = expected
        self._monotonic_s = monotonic_s
        self._until = monotonic_s() + grace_s
        self._were_alive = False

    def check(self) -> str:
        """
        A word for the probe's answer.

        Raises:
            RuntimeError: a watcher is missing; the message names it.
        """
        missing = self._expected - {task.get_name() for task in asyncio.all_tasks() if not task.done()}
        if not missing:
            self._were_alive = True
            return "alive"
        if not self._were_alive and self._monotonic_s() < self._until:
            return "starting"
        raise RuntimeError(f"no live {', no live '.join(sorted(missing))}: this process must be restarted")
