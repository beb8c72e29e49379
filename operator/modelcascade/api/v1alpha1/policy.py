"""CascadeScalingPolicy: what a platform team says about scaling, for every cascade that follows it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from modelcascade.api.markers import CEL, ListType, PrinterColumn
from modelcascade.api.v1alpha1.meta import ApiModel, ObjectMeta
from modelcascade.api.v1alpha1.status import PolicyStatus

__all__ = [
    "AcceleratorShare",
    "CascadeScalingPolicy",
    "Metric",
    "MetricType",
    "Objectives",
    "PolicySpec",
    "ScaleDown",
    "ScaleToZero",
    "ScaleUp",
    "Schedule",
    "Spill",
]

MetricType = Literal[
    "QueueDepth",
    "Concurrency",
    "KVCachePercent",
    "TimeToFirstTokenMilliseconds",
    "LatencyP95Milliseconds",
    "EscalationRatePercent",
]


class Objectives(ApiModel):
    """The promised bounds on percentiles."""

    ttft_p95_milliseconds: Annotated[int | None, Field(ge=1, le=3_600_000)] = None
    """Time to the first token, 95th percentile, 1 to 3,600,000 ms. Absent: the class's built-in value, 2000."""

    tpot_p95_milliseconds: Annotated[int | None, Field(ge=1, le=60_000)] = None
    """Time per further token, 95th percentile, 1 to 60,000 ms. Absent: the class's built-in value, 150."""

    e2e_p95_milliseconds: Annotated[int | None, Field(ge=1, le=3_600_000, alias="e2eP95Milliseconds")] = None
    """Whole answer, 95th percentile, 1 to 3,600,000 ms. Absent: no bound."""

    attainment_percent: Annotated[int, Field(ge=1, le=100)] = 99
    """Share of requests in percent that must meet the bounds, 1 to 100. Absent: 99."""


class Metric(ApiModel):
    """One explicit target; it can only raise the number of replicas."""

    type: MetricType
    """What is compared with the target."""

    target: Annotated[int, Field(ge=1, le=3_600_000)]
    """The wanted value in the unit that the type names, 1 to 3,600,000."""


class ScaleUp(ApiModel):
    """How fast a tier may grow."""

    max_step_percent: Annotated[int, Field(ge=1, le=1000)] = 100
    """Growth of one step in percent, 1 to 1000. Absent: 100."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Time for which a wish must last, 0 to 3600 seconds. Absent: 0."""


class ScaleDown(ApiModel):
    """How fast a tier may shrink."""

    max_step_percent: Annotated[int, Field(ge=1, le=100)] = 25
    """Shrinking of one step in percent, 1 to 100. Absent: 25."""

    stabilization_window_seconds: Annotated[int | None, Field(ge=60, le=86_400)] = None
    """Time to look back for the largest wish, 60 to 86,400 seconds. Absent: learnt from the tier's cold start."""


class ScaleToZero(ApiModel):
    """When an idle tier goes to zero."""

    idle_seconds: Annotated[int, Field(ge=30, le=86_400)] = 600
    """Seconds without a request, 30 to 86,400; a tier's own value wins. Absent: 600."""


class Schedule(ApiModel):
    """Bounds that hold from one moment on, until the next entry fires."""

    name: Annotated[
        str,
        Field(max_length=40),
        CEL(
            "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "schedule names are lower-case letters, digits and '-', starting with a letter",
        ),
    ]
    """Name in decisions, at most 40 characters."""

    cron: Annotated[
        str,
        Field(max_length=64),
        CEL(
            "self.matches('^[-0-9*/,A-Za-z]+( [-0-9*/,A-Za-z]+){4}$')",
            "cron has five fields: minute, hour, day of month, month and day of week",
        ),
    ]
    """When the entry fires: minute, hour, day of month, month, day of week; at most 64 characters."""

    time_zone: Annotated[
        str,
        Field(max_length=64),
        CEL("self.matches('^[A-Za-z0-9_+/-]+$')", "timeZone is a name such as UTC or Europe/Berlin"),
    ] = "UTC"
    """Time zone of `cron`, such as Europe/Berlin, at most 64 characters. Absent: UTC."""

    min_replicas: Annotated[int | None, Field(ge=0, le=100)] = None
    """Fewest replicas, 0 to 100; the larger of this and the tier's own counts. Absent: the tier's own."""

    max_replicas: Annotated[int | None, Field(ge=1, le=100)] = None
    """Most replicas, 1 to 100; the smaller of this and the tier's own counts. Absent: the tier's own."""


class AcceleratorShare(ApiModel):
    """Who gets scarce accelerators."""

    resource: Annotated[
        str,
        Field(max_length=63),
        CEL(
            "self in ['nvidia.com/gpu', 'amd.com/gpu'] || self.matches('^nvidia[.]com/mig-[0-9a-z]+([.][0-9a-z]+)*$')",
            "unsupported value, supported: nvidia.com/gpu, amd.com/gpu or an nvidia.com/mig-* name",
        ),
    ]
    """Extended resource: nvidia.com/gpu, amd.com/gpu or an nvidia.com/mig-… name; at most 63 characters."""

    maximum: Annotated[int | None, Field(ge=0, le=10_000)] = None
    """Accelerators held by all tiers of one cascade, 0 to 10,000. Absent: no bound."""

    floor: Annotated[int | None, Field(ge=0, le=10_000)] = None
    """Accelerators that a tier gets before sharing starts, 0 to 10,000. Absent: none."""

    priority: Annotated[int, Field(ge=0, le=100)] = 50
    """Who goes first, 0 to 100, higher first. Absent: 50."""


class Spill(ApiModel):
    """What happens to demand that the tiers cannot hold."""

    max_threshold_shift_percent: Annotated[int, Field(ge=0, le=100)] = 10
    """How far confidence thresholds may be lowered, 0 to 100 percent. Absent: 10."""

    order: Annotated[
        tuple[Literal["LowerTier", "LocalTier", "Frontier", "Queue"], ...],
        Field(min_length=1, max_length=4),
        ListType("atomic"),
    ] = ("LowerTier", "Frontier", "Queue")
    """Where demand goes, first choice first, 1 to 4 entries. Absent: LowerTier, Frontier, Queue."""


class PolicySpec(ApiModel):
    """What is wanted of scaling."""

    cel_rules: ClassVar = (
        CEL(
            "has(self.objectives) || (has(self.metrics) && self.metrics.size() > 0)",
            "set objectives or at least one metric",
        ),
        CEL(
            "!has(self.metrics) || self.metrics.size() == 0 || "
            "self.metrics.exists(m, m.type != 'EscalationRatePercent')",
            "EscalationRatePercent cannot be the only metric: it does not measure this tier's own load",
        ),
        CEL(
            "!has(self.scaleUp) || !has(self.scaleDown) || !has(self.scaleDown.stabilizationWindowSeconds) || "
            "self.scaleDown.stabilizationWindowSeconds >= self.scaleUp.stabilizationWindowSeconds",
            "scaleDown.stabilizationWindowSeconds must not be shorter than scaleUp's",
        ),
        CEL(
            "self.staleAfterSeconds >= 2 * self.intervalSeconds",
            "staleAfterSeconds must be at least twice intervalSeconds",
        ),
        CEL(
            "self.onMissingMetrics != 'FreezeThenFallback' || has(self.fallbackReplicas)",
            "onMissingMetrics FreezeThenFallback needs fallbackReplicas",
        ),
    )

    policy_class: Annotated[Literal["Economy", "Balanced", "Latency"], Field(alias="class")] = "Balanced"
    """Economy fills replicas, Latency keeps room. Absent: Balanced."""

    mode: Literal["Enforce", "Recommend"] = "Enforce"
    """Recommend writes decisions to status and does not act. Absent: Enforce."""

    objectives: Objectives | None = None
    """The promised bounds. Absent: `metrics` must name at least one target."""

    metrics: Annotated[tuple[Metric, ...], Field(max_length=6), ListType("map", ("type",))] = ()
    """Explicit targets, at most 6. Absent: none."""

    interval_seconds: Annotated[int, Field(ge=5, le=300)] = 15
    """Time between two decisions, 5 to 300 seconds. Absent: 15."""

    stale_after_seconds: Annotated[int, Field(ge=10, le=3600)] = 60
    """Age at which a metric no longer counts, 10 to 3600 seconds, at least twice the interval. Absent: 60."""

    scale_up: ScaleUp | None = None
    """How fast a tier may grow. Absent: it may double in one step, at once."""

    scale_down: ScaleDown | None = None
    """How fast a tier may shrink. Absent: by a quarter in one step, after a learnt window."""

    scale_to_zero: ScaleToZero | None = None
    """When an idle tier goes to zero. Absent: after 600 seconds, where the tier's minReplicas allows it."""

    schedules: Annotated[tuple[Schedule, ...], Field(max_length=16), ListType("map", ("name",))] = ()
    """Bounds by time of day, at most 16. Absent: none."""

    on_missing_metrics: Literal["Freeze", "FreezeThenFallback"] = "Freeze"
    """What happens without fresh metrics. Absent: Freeze, the number stays."""

    fallback_replicas: Annotated[int | None, Field(ge=1, le=100)] = None
    """Replicas after the freeze, 1 to 100; with FreezeThenFallback. Absent: none."""

    fallback_after_seconds: Annotated[int, Field(ge=60, le=86_400)] = 300
    """Length of the freeze before the fallback, 60 to 86,400 seconds. Absent: 300."""

    accelerators: Annotated[tuple[AcceleratorShare, ...], Field(max_length=8), ListType("map", ("resource",))] = ()
    """Who gets scarce accelerators, at most 8. Absent: no shares."""

    spill: Spill | None = None
    """What happens to demand that cannot be held. Absent: the built-in order LowerTier, Frontier, Queue."""


class CascadeScalingPolicy(ApiModel):
    """How the tiers of the cascades that follow this policy are scaled."""

    cel_rules: ClassVar = ()
    plural: ClassVar = "cascadescalingpolicies"
    short_names: ClassVar = ("csp",)
    printer_columns: ClassVar = (
        PrinterColumn("Class", "string", ".spec.class", "What is preferred: cost or latency"),
        PrinterColumn("Mode", "string", ".spec.mode", "Whether decisions are carried out"),
        PrinterColumn("Used By", "string", ".status.usedBy", "Cascades that follow it"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp", "Time since creation"),
    )

    api_version: Literal["modelcascade.dev/v1alpha1"]
    """Version of this representation."""

    kind: Literal["CascadeScalingPolicy"]
    """Kind of the object."""

    metadata: ObjectMeta
    """Name, namespace and labels."""

    spec: PolicySpec
    """What is wanted."""

    status: PolicyStatus | None = None
    """What was observed; written by the operator only. Absent: not looked at yet."""
