"""
Every reason the product gives, each a closed enum with a sentence; docs/reference/conditions.md comes from here.

`RequestReason` and `Warning_` are snake_case, for headers, logs, metrics and decision records.
`ConditionReason` is CamelCase, for conditions and Events. `ErrorCode` is the router's public error contract.
"""

from enum import StrEnum

__all__ = ["CONDITION_REASON_TEXT", "ConditionReason", "ErrorCode", "RequestReason", "Warning_"]


class RequestReason(StrEnum):
    """Why a step was taken; the request's reason is that of its last step."""

    START = "start"  # the first tier
    ACCEPTED = "accepted"  # confidence at or above the threshold
    FINAL_TIER = "final_tier"  # nothing above to compare with
    UNVERIFIED = "unverified"  # method None, PreRoute, or a pinned tier
    EXHAUSTED = "exhausted"  # best answer at a bound
    SCHEMA_VALID = "schema_valid"  # no logprobs, but a valid answer to a requested schema or tool
    LOW_CONFIDENCE = "low_confidence"
    SCHEMA_INVALID = "schema_invalid"
    TRUNCATED = "truncated"  # finish reason length, or more than the buffer holds
    VERIFIER_ERROR = "verifier_error"  # the answer could not be judged
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    TIER_OVERLOADED = "tier_overloaded"
    TIER_UNAVAILABLE = "tier_unavailable"  # no ready endpoint
    POLICY = "policy"  # pinned by the request, or no lower tier may serve it
    REFUSED = "refused"  # the request was refused before any tier was chosen
    ROUTER_ERROR = "router_error"  # a defect of the router itself


class Warning_(StrEnum):  # noqa: N801 - `Warning` is a builtin
    """Zero or more of these stand beside an answer."""

    BEST_EFFORT = "best_effort"  # below its threshold, given because a bound was reached
    UNCALIBRATED = "uncalibrated"
    UNVERIFIED = "unverified"


class ErrorCode(StrEnum):
    """`error.code` of the OpenAI-shaped error body."""

    INVALID_REQUEST = "invalid_request"
    MODEL_NOT_FOUND = "model_not_found"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    RECEIVE_TIMEOUT = "receive_timeout"
    REQUEST_TOO_LARGE = "request_too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    UPSTREAM_ERROR = "upstream_error"
    ESCALATION_EXHAUSTED = "escalation_exhausted"
    OVERLOADED = "overloaded"
    NO_READY_TIER = "no_ready_tier"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CLIENT_CLOSED = "client_closed"  # log only
    INTERNAL = "internal_error"


class ConditionReason(StrEnum):
    """Why a condition stands as it does."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    UNSUPPORTED = "Unsupported"
    NAME_CONFLICT = "NameConflict"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_FILE_NOT_FOUND = "ModelFileNotFound"
    MODEL_FILE_AMBIGUOUS = "ModelFileAmbiguous"
    MODEL_UNREADABLE = "ModelUnreadable"
    INSPECTION_PENDING = "InspectionPending"
    INSPECTION_UNREADABLE = "InspectionUnreadable"
    MODELS_VERIFIED = "ModelsVerified"
    FORMAT_MISMATCH = "FormatMismatch"
    VARIANT_MISMATCH = "VariantMismatch"
    QUANTIZATION_VERIFIED = "QuantizationVerified"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CRASHED = "ContainerCrashed"
    OUT_OF_MEMORY = "OutOfMemory"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_SECURITY_REJECTED = "PodSecurityRejected"
    POD_REJECTED = "PodRejected"
    CONFIG_MISSING = "ConfigMissing"
    VOLUME_FAILED = "VolumeFailed"
    STARTING = "Starting"
    ROLLING_OUT = "RollingOut"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    TIERS_READY = "TiersReady"
    ROUTER_READY = "RouterReady"
    API_FORBIDDEN = "ApiForbidden"
    APPLY_FAILED = "ApplyFailed"


CONDITION_REASON_TEXT: dict[ConditionReason, str] = {
    ConditionReason.READY: "Everything that must answer answers.",
    ConditionReason.PROGRESSING: "Some part is not ready yet; the message names it.",
    ConditionReason.VALID: "The spec passed every rule.",
    ConditionReason.INVALID_SPEC: "A field breaks a rule; the message names it. The last good children keep serving.",
    ConditionReason.UNSUPPORTED: "A field is valid but this version does not serve it yet; the message names it.",
    ConditionReason.NAME_CONFLICT: "An object of a needed name belongs to somebody else and was not touched.",
    ConditionReason.MODEL_NOT_FOUND: "The model's image, claim or address does not exist or cannot be read.",
    ConditionReason.MODEL_FILE_NOT_FOUND: "The model source holds no file of that name.",
    ConditionReason.MODEL_FILE_AMBIGUOUS: "The model source holds several GGUF files: name one in model.source.file.",
    ConditionReason.MODEL_UNREADABLE: "The model file is cut off or is no GGUF file.",
    ConditionReason.INSPECTION_PENDING: "The model file has not been looked at yet.",
    ConditionReason.INSPECTION_UNREADABLE: "The init container left no readable report.",
    ConditionReason.MODELS_VERIFIED: "Every model file is present and readable.",
    ConditionReason.FORMAT_MISMATCH: "The file's format is not the declared quantization.format.",
    ConditionReason.VARIANT_MISMATCH: "The file's variant is not the declared quantization.variant.",
    ConditionReason.QUANTIZATION_VERIFIED: "Every file holds the declared quantization.",
    ConditionReason.IMAGE_PULL_FAILED: "An image cannot be pulled; the message is the runtime's.",
    ConditionReason.CONTAINER_CRASHED: "A container ends again and again; the message has its exit code.",
    ConditionReason.OUT_OF_MEMORY: "A container was killed at its memory limit.",
    ConditionReason.UNSCHEDULABLE: "No node has room; the message is the scheduler's.",
    ConditionReason.QUOTA_EXCEEDED: "A ResourceQuota refuses the pod; the message is the quota's.",
    ConditionReason.POD_SECURITY_REJECTED: "Pod Security refuses the pod; the message lists the fields.",
    ConditionReason.POD_REJECTED: "Admission refuses the pod; the message is the server's.",
    ConditionReason.CONFIG_MISSING: "A Secret or ConfigMap that a pod needs does not exist, or lacks a key.",
    ConditionReason.VOLUME_FAILED: "A volume cannot be mounted; the message is the kubelet's.",
    ConditionReason.STARTING: "A pod has started and is not ready yet.",
    ConditionReason.ROLLING_OUT: "Pods of an older generation are being replaced.",
    ConditionReason.PROGRESS_DEADLINE_EXCEEDED: "New pods did not become ready in time; older ones keep serving.",
    ConditionReason.TIERS_READY: "Every Active tier has a ready endpoint, or is at zero by policy.",
    ConditionReason.ROUTER_READY: "The router has a ready endpoint.",
    ConditionReason.API_FORBIDDEN: "The operator lacks a right; the message names verb and resource.",
    ConditionReason.APPLY_FAILED: "The API server refused a child object; the message is the server's.",
}
