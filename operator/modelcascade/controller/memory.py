"""
What the operator remembers between two rounds; losing all of it costs a few extra reads and no wrong write.

- what our own last writes returned, until the watch shows it: else a round that runs before the watch has caught up
  would write the same again, and a status timestamp would move;
- what a spec means and which objects it wants, until the spec changes: most of a round's work;
- which objects the server keeps otherwise than we apply them, so that we do not apply them for ever;
- how many Events a cascade may still cause.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from modelcascade.api.problems import Problem, SpecProblems
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.kube.gate import Bucket, take_token
from modelcascade.kube.indexes import CascadeKey
from modelcascade.planning.names import ObjectKey
from modelcascade.planning.objects import PlannedObject
from modelcascade.planning.plan import CascadePlan
from modelcascade.status.snapshot import Snapshot

__all__ = ["Memory", "Reading"]

_FORGET_AFTER = timedelta(seconds=30)
_EVENT_BURST = 10.0
_EVENTS_PER_S = 1 / 30
_MOST_READINGS = 500


@dataclass(frozen=True, slots=True)
class Reading:
    """What one generation of a cascade's spec means."""

    parsed: ModelCascade | SpecProblems
    """Of its metadata only the name, the namespace, the uid and the generation are current."""

    unsupported: tuple[Problem, ...] = ()
    plan: CascadePlan | None = None


@dataclass(frozen=True, slots=True)
class _Write:
    body: Mapping[str, Any]
    at: datetime


class Memory:
    """One per operator process."""

    def __init__(self) -> None:
        self._writes: dict[tuple[CascadeKey, ObjectKey], _Write] = {}
        self._settled: dict[tuple[CascadeKey, ObjectKey], str] = {}
        self._events: dict[CascadeKey, Bucket] = {}
        self._readings: dict[CascadeKey, tuple[tuple[str, int], Reading]] = {}

    def recall_reading(self, key: CascadeKey, cascade: Mapping[str, Any]) -> Reading | None:
        """What this very spec means, if it was read before."""
        stamp, reading = self._readings.get(key, (None, None))
        return reading if stamp == _spec_stamp(cascade) else None

    def keep_reading(self, key: CascadeKey, cascade: Mapping[str, Any], reading: Reading) -> None:
        """This spec was read; the oldest is dropped when there are too many."""
        self._readings.pop(key, None)
        if len(self._readings) >= _MOST_READINGS:
            del self._readings[next(iter(self._readings))]
        self._readings[key] = (_spec_stamp(cascade), reading)

    def remember_write(self, key: CascadeKey, name: ObjectKey, written: Mapping[str, Any], now: datetime) -> None:
        """This is the object after a write of ours."""
        self._writes[key, name] = _Write(written, now)

    def freshen(self, key: CascadeKey, snapshot: Snapshot, now: datetime) -> Snapshot:
        """The snapshot with our own writes that the caches do not show yet."""
        name = ObjectKey(str(snapshot.cascade["kind"]), key.name)
        cascade = self._newest(key, name, snapshot.cascade, now)
        children = {child: self._newest(key, child, body, now) for child, body in snapshot.children.items()}
        return replace(snapshot, cascade=cascade, children=children)

    def _newest(self, key: CascadeKey, name: ObjectKey, cached: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
        write = self._writes.get((key, name))
        if write is None:
            return cached
        same_object = write.body["metadata"].get("uid") == cached["metadata"].get("uid")
        # Versions of one object may be compared as numbers (Kubernetes 1.35 promises what etcd always did); where
        # they are none, the cache wins.
        if same_object and _version(cached) < _version(write.body) and now - write.at < _FORGET_AFTER:
            return write.body
        del self._writes[key, name]
        return cached

    def settle(self, key: CascadeKey, planned: PlannedObject, body: Mapping[str, Any]) -> None:
        """This is what the server makes of our manifest: applying the same again would change nothing."""
        self._settled[key, planned.key] = _stamp(planned, body)

    def is_settled(self, key: CascadeKey, planned: PlannedObject, body: Mapping[str, Any]) -> bool:
        """Neither the manifest nor the object has changed since it was settled."""
        return self._settled.get((key, planned.key)) == _stamp(planned, body)

    def may_record(self, key: CascadeKey, now_s: float) -> bool:
        """Whether this cascade may cause one more Event."""
        bucket = self._events.get(key) or Bucket(_EVENTS_PER_S, _EVENT_BURST, _EVENT_BURST, now_s)
        taken, wait_s = take_token(bucket, now_s)
        if wait_s > 0:
            return False
        self._events[key] = taken
        return True

    def forget(self, key: CascadeKey) -> None:
        """The cascade is gone."""
        self._writes = {entry: write for entry, write in self._writes.items() if entry[0] != key}
        self._settled = {entry: stamp for entry, stamp in self._settled.items() if entry[0] != key}
        self._events.pop(key, None)
        self._readings.pop(key, None)


def _spec_stamp(cascade: Mapping[str, Any]) -> tuple[str, int]:
    metadata = cascade["metadata"]
    return str(metadata["uid"]), int(metadata["generation"])


def _version(body: Mapping[str, Any]) -> int:
    text = str(body["metadata"].get("resourceVersion"))
    return int(text) if text.isdecimal() else 0


def _stamp(planned: PlannedObject, body: Mapping[str, Any]) -> str:
    # The generation does not move with status, so a Deployment that becomes ready stays settled. Kinds without a
    # generation have no status either.
    metadata = body["metadata"]
    moved = metadata.get("generation", metadata.get("resourceVersion"))
    return f"{planned.applied_hash} {metadata.get('uid')} {moved}"
