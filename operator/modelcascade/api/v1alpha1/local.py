"""A tier that the operator runs itself: model, engine, quantization, hardware and placement."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from modelcascade.api.markers import CEL, ListType
from modelcascade.api.v1alpha1.engine_args import ALLOWED_ARGS, LLAMA_CPP_SWITCHES
from modelcascade.api.v1alpha1.meta import ApiModel, CpuQuantity, MemoryQuantity, SecretKeyRef

__all__ = [
    "Accelerator",
    "Engine",
    "EngineType",
    "Local",
    "LocalModel",
    "ModelDimensions",
    "ModelSource",
    "Placement",
    "Quantization",
    "QuantizationFormat",
    "Resources",
    "Toleration",
]

EngineType = Literal["LlamaCpp", "VLLM", "SGLang", "Custom"]
QuantizationFormat = Literal["GGUF", "AWQ", "GPTQ", "FP8", "MXFP4", "NVFP4", "INT8", "None"]

LLAMA_CPP_KV_CACHES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


class ModelSource(ApiModel):
    """Where a model's files come from; always pinned by digest, commit or checksum."""

    cel_rules: ClassVar = (
        CEL(
            "!self.uri.startsWith('hf://') || (has(self.revision) && self.revision.matches('^[0-9a-f]{40}$'))",
            "hf:// sources need revision set to a full 40-hex commit: branches and tags move",
        ),
        CEL(
            "!(self.uri.startsWith('https://') || self.uri.startsWith('s3://')) || has(self.sha256)",
            "https:// and s3:// sources need sha256",
        ),
        CEL(
            "!self.uri.startsWith('oci://') || self.uri.matches('@sha256:[0-9a-f]{64}$')",
            "oci:// sources must be pinned by @sha256 digest",
        ),
    )

    uri: Annotated[
        str,
        Field(max_length=512),
        CEL(
            "self.matches('^(hf|oci|pvc|s3|https)://[A-Za-z0-9._/:@-]+$')",
            "uri must start with hf://, oci://, pvc://, s3:// or https:// and contain only letters, digits and "
            ". _ / : @ -",
        ),
        CEL("!self.contains('..')", "uri must not contain '..'"),
        CEL(
            "!self.matches('^[a-z0-9]+://[^/]*@') || self.matches('^oci://[^/@]+@sha256:[0-9a-f]{64}$')",
            "uri must not carry credentials; use secretKeyRef",
        ),
    ]
    """`oci://IMAGE@sha256:…`, `pvc://CLAIM/path`, `hf://OWNER/NAME`, `https://…` or `s3://…`; at most 512
    characters."""

    file: Annotated[
        str | None,
        Field(max_length=256),
        CEL(
            "self.matches('^[A-Za-z0-9_.@+-]+(/[A-Za-z0-9_.@+-]+)*$') && !self.contains('..')",
            "file must be a relative path of letters, digits and . _ @ + - / without '..'",
        ),
    ] = None
    """Path inside the image, claim or repository. Absent: the only `.gguf` file there, or the folder itself."""

    revision: Annotated[str | None, Field(max_length=64)] = None
    """Full 40-hex commit; required with hf://, which has no other pin."""

    sha256: Annotated[
        str | None,
        Field(max_length=64),
        CEL("self.matches('^[0-9a-f]{64}$')", "sha256 must be 64 lower-case hex digits"),
    ] = None
    """Checksum of the file, 64 hex digits; required with https:// and s3://."""

    secret_key_ref: SecretKeyRef | None = None
    """Credential for hf://, https:// and s3:// sources. Absent: the source is public."""


class ModelDimensions(ApiModel):
    """The model's size, for the memory check when the file's header cannot be read."""

    parameters_million: Annotated[int, Field(ge=1, le=10_000_000)]
    """Parameters in millions, 1 to 10,000,000."""

    layers: Annotated[int, Field(ge=1, le=1000)]
    """Transformer layers, 1 to 1000."""

    kv_heads: Annotated[int, Field(ge=1, le=1000)]
    """Key and value heads, 1 to 1000."""

    head_dim: Annotated[int, Field(ge=1, le=4096)]
    """Width of one head, 1 to 4096."""

    weights_mebibytes: Annotated[int, Field(ge=1, le=10_000_000)]
    """Size of the weights in MiB, 1 to 10,000,000."""


class LocalModel(ApiModel):
    """The model of a local tier."""

    source: ModelSource
    """Where the model's files come from."""

    served_name: Annotated[
        str | None,
        Field(max_length=128),
        CEL(
            "self.matches('^[A-Za-z0-9][A-Za-z0-9._/-]*$')",
            "servedName is made of letters, digits and . _ / -, starting with a letter or digit",
        ),
    ] = None
    """Name that the engine is started with and the router asks for, at most 128 characters. Absent: the tier's
    name."""

    context_length: Annotated[int, Field(ge=128, le=1_048_576)] = 4096
    """Tokens of one request, prompt and answer together, 128 to 1,048,576. Absent: 4096."""

    dimensions: ModelDimensions | None = None
    """Size of the model. Absent: read from the file's header."""


class Engine(ApiModel):
    """The server program of a local tier."""

    cel_rules: ClassVar = (
        CEL("self.type != 'Custom' || has(self.image)", "engine type Custom needs image"),
        *(
            CEL(
                f"self.type != '{engine}' || !has(self.args) || "
                f"self.args.filter(a, a.startsWith('--')).all(a, a.matches('^--({'|'.join(flags)})(=|$)'))",
                f"engine.args contains a flag that is not on the allow-list of engine {engine}",
            )
            for engine, flags in ALLOWED_ARGS.items()
        ),
        CEL(
            "self.type != 'LlamaCpp' || !has(self.args) || self.args.filter(a, a.startsWith('--')).all(a, "
            f"a.matches('^--({'|'.join(LLAMA_CPP_SWITCHES)})$') || "
            f"(a.matches('^--[^=]+=([^-]|-[0-9.]|$)') && !a.matches('^--({'|'.join(LLAMA_CPP_SWITCHES)})=')))",
            f"engine.args of LlamaCpp: {', '.join(LLAMA_CPP_SWITCHES)} take no value, every other flag is written "
            "--name=value, and a value starts with '-' only when it is a number",
        ),
    )

    type: EngineType
    """LlamaCpp (GGUF, CPU and GPU), VLLM, SGLang, or Custom (any OpenAI-compatible server in `image`)."""

    image: Annotated[
        str | None,
        Field(max_length=512),
        CEL(
            "self.matches('^[A-Za-z0-9][A-Za-z0-9._/:-]*@sha256:[0-9a-f]{64}$')",
            "image must be pinned by @sha256 digest",
        ),
    ] = None
    """Image with its digest, at most 512 characters. Absent: the chart's image for the engine."""

    parallel: Annotated[int, Field(ge=1, le=512)] = 4
    """Requests that one replica answers at the same time, 1 to 512. Absent: 4."""

    args: Annotated[
        tuple[
            Annotated[
                str,
                Field(max_length=256),
                CEL(
                    "self.matches('^--[A-Za-z0-9][A-Za-z0-9_.-]*(=[^\\\\x00-\\\\x1f\\\\x7f]*)?$')",
                    "each arg must be one flag, written --name or --name=value, without control characters",
                ),
            ],
            ...,
        ],
        Field(max_length=32),
        ListType("atomic"),
    ] = ()
    """Further flags, at most 32, each `--name` or `--name=value` from the engine's allow-list. Absent: none."""


class Quantization(ApiModel):
    """The declared number format of the weights; the file's own header must agree."""

    format: QuantizationFormat
    """GGUF, AWQ, GPTQ, FP8, MXFP4, NVFP4, INT8, or None for unquantized weights."""

    variant: Annotated[
        str | None,
        Field(max_length=32),
        CEL(
            "self.matches('^[A-Za-z0-9][A-Za-z0-9_.-]*$')",
            "variant is one name such as Q4_K_M: letters, digits and _ . -",
        ),
    ] = None
    """Name of the variant, such as `Q4_K_M`, at most 32 characters. Absent: any variant of the format."""

    kv_cache: Annotated[
        str | None,
        Field(max_length=32),
        CEL("self.matches('^[A-Za-z0-9][A-Za-z0-9_]*$')", "kvCache is one name such as q8_0: letters, digits and _"),
    ] = None
    """Number format of the key/value cache, from the engine's own list. Absent: the engine's default."""


class Accelerator(ApiModel):
    """GPUs of one replica."""

    resource: Annotated[
        str,
        Field(max_length=63),
        CEL(
            "self in ['nvidia.com/gpu', 'amd.com/gpu'] || self.matches('^nvidia[.]com/mig-[0-9a-z]+([.][0-9a-z]+)*$')",
            "unsupported value, supported: nvidia.com/gpu, amd.com/gpu or an nvidia.com/mig-* name",
        ),
    ]
    """Extended resource: nvidia.com/gpu, amd.com/gpu or an nvidia.com/mig-… name; at most 63 characters."""

    count: Annotated[int, Field(ge=1, le=16)] = 1
    """Devices of one replica, 1 to 16. Absent: 1."""

    memory: MemoryQuantity | None = None
    """Memory of one device in Mi, Gi or Ti, for the memory check. Absent: not checked."""


class Resources(ApiModel):
    """What one pod gets."""

    cel_rules: ClassVar = (
        CEL("has(self.memory)", "memory is required: without a limit one model can take the node down"),
        CEL("has(self.cpu)", "cpu is required: the engine's threads come from it"),
    )

    cpu: CpuQuantity | None = None
    """CPU request, such as 500m or 4; required. There is no CPU limit; the threads of an engine come from this."""

    memory: MemoryQuantity | None = None
    """Memory request and limit in Mi, Gi or Ti, such as 24Gi; required."""

    ephemeral_storage: Annotated[
        str | None,
        Field(max_length=16),
        CEL(
            "self.matches('^[0-9]{1,9}([.][0-9]{1,3})?(Mi|Gi|Ti)$') && self.matches('[1-9]')",
            "ephemeralStorage must be a positive quantity in Mi, Gi or Ti, such as 2Gi",
        ),
    ] = None
    """Local disk of one pod in Mi, Gi or Ti, request and limit. Absent: none is requested."""


class Toleration(ApiModel):
    """One taint that the tier's pods accept, with the meaning that Kubernetes gives it."""

    key: Annotated[str | None, Field(max_length=316)] = None
    """Taint key, at most 316 characters. Absent: with operator Exists, every key."""

    operator: Literal["Equal", "Exists"] = "Equal"
    """How `value` is compared. Absent: Equal."""

    value: Annotated[str | None, Field(max_length=63)] = None
    """Taint value, at most 63 characters. Absent: the empty value."""

    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Taint effect. Absent: every effect."""

    toleration_seconds: Annotated[int | None, Field(ge=0, le=86_400)] = None
    """With NoExecute: seconds before eviction, 0 to 86,400. Absent: for ever."""


def _free_keys(field: str) -> CEL:
    return CEL(
        "self.all(k, !k.startsWith('modelcascade.dev/') && !k.matches('^([a-z0-9.-]+[.])?(kubernetes|k8s)[.]io/'))",
        f"placement.{field} must not use the prefixes modelcascade.dev/, kubernetes.io/ or k8s.io/: they are reserved",
    )


class Placement(ApiModel):
    """Where the tier's pods may run, and what they are marked with."""

    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)] = Field(
        default_factory=dict
    )
    """Labels that a node must have, at most 16. Absent: any node."""

    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16), ListType("atomic")] = ()
    """Taints that the pods accept, at most 16. Absent: none beyond the cluster's defaults."""

    runtime_class_name: Annotated[str | None, Field(min_length=1, max_length=253)] = None
    """RuntimeClass of the pods, at most 253 characters. Absent: the node's default."""

    priority_class_name: Annotated[str | None, Field(min_length=1, max_length=253)] = None
    """PriorityClass of the pods, at most 253 characters. Absent: the cluster's default."""

    topology_spread: Literal["None", "Node", "Zone"] = "None"
    """Spread replicas over nodes or zones where possible. Absent: None."""

    labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16), _free_keys("labels")] = (
        Field(default_factory=dict)
    )
    """Further labels of the pods, for queues and cost centres, at most 16; reserved prefixes are refused. Absent:
    none."""

    annotations: Annotated[
        dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=16), _free_keys("annotations")
    ] = Field(default_factory=dict)
    """Further annotations of the pods, at most 16 of at most 1024 characters; reserved prefixes are refused.
    Absent: none."""


class Local(ApiModel):
    """A tier that the operator runs in the cluster."""

    cel_rules: ClassVar = (
        CEL(
            "self.quantization.format != 'GGUF' || self.engine.type in ['LlamaCpp', 'Custom']",
            "quantization GGUF needs engine LlamaCpp",
        ),
        CEL(
            "self.engine.type != 'LlamaCpp' || self.quantization.format == 'GGUF'",
            "engine LlamaCpp needs quantization GGUF",
        ),
        CEL(
            "!(self.engine.type in ['VLLM', 'SGLang']) || has(self.accelerator)",
            "engines VLLM and SGLang need an accelerator",
        ),
        CEL(
            "self.engine.type != 'LlamaCpp' || !has(self.quantization.kvCache) || "
            f"self.quantization.kvCache in [{', '.join(repr(name) for name in LLAMA_CPP_KV_CACHES)}]",
            f"quantization.kvCache of engine LlamaCpp is one of {', '.join(LLAMA_CPP_KV_CACHES)}",
        ),
        CEL(
            "!has(self.placement) || !has(self.placement.nodeSelector) || self.placement.nodeSelector.all(k, "
            "!(k in ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master']))",
            "nodeSelector must not target control-plane roles",
        ),
    )

    model: LocalModel
    """The model and where it comes from."""

    engine: Engine
    """The server program."""

    quantization: Quantization
    """The number format of the weights; it must be what the file holds."""

    accelerator: Accelerator | None = None
    """GPUs of one replica. Absent: the tier runs on CPUs."""

    resources: Resources
    """CPU and memory of one replica."""

    placement: Placement | None = None
    """Where the pods may run. Absent: anywhere, without further labels."""
