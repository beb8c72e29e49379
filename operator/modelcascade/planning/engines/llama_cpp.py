"""
llama-server 0.7.0: its command line for one tier.

Flags are checked against the real parser by tests/planning/test_llama_cpp.py; every value that the server would
otherwise choose by itself (context, slots, cache, fit) is written out.
"""

from modelcascade.api.v1alpha1.local import Local
from modelcascade.api.v1alpha1.tiers import Tier
from modelcascade.planning.engines.spec import PORT, EngineSpec
from modelcascade.planning.quantities import cpu_threads, mebibytes

__all__ = ["DRAIN_S", "GRACE_S", "STARTUP_S", "build_tier"]

STARTUP_S = 600

DRAIN_S = 20
"""
llama-server does not drain: SIGTERM cuts every answer off. So the pod waits: 5 s for its removal from the endpoints,
15 s for answers that are being written (about 600 tokens of a small model). It does not follow the cascade's deadline,
because an edit of the routing must not restart engines. A longer answer is cut and the router asks the next tier.
"""

GRACE_S = DRAIN_S + 5
"""An idle server exits at once after SIGTERM; a busy one was seen alive after 45 s, and waiting gains nothing."""

_CACHE_SHARE = 10
_CACHE_LIMIT_MIB = 8192


def build_tier(tier: Tier, local: Local, *, model_path: str, default_image: str) -> EngineSpec:
    """The engine of a GGUF tier; `model_path` is what `-m` opens."""
    args = (
        *("-m", model_path),
        *("--host", "0.0.0.0"),
        *("--port", str(PORT)),  # its own default is 9931 on the loopback
        *("-a", local.model.served_name or tier.name),
        # -c is the total of all slots, the API's number is tokens of one request
        *("-c", str(local.model.context_length * local.engine.parallel)),
        *("-np", str(local.engine.parallel)),
        *("--cache-ram", str(_cache_mib(local))),
        *("--load-mode", "auto"),
        *_threads(local),
        "--metrics",
        "--no-ui",
        "--no-slots",
        *("--cors-origins", "localhost"),  # the default is any origin, with credentials
        *("--sse-ping-interval", "1"),  # also how long a broken stream delays the exit: 30 s by default
        *_accelerator(local),
        *_kv_cache(local),
        *_own_args(local),
    )
    return EngineSpec(
        image=local.engine.image or default_image,
        args=args,
        health_path="/health",
        startup_s=STARTUP_S,
        drain_s=DRAIN_S,
        grace_s=GRACE_S,
    )


def _cache_mib(local: Local) -> int:
    """
    Host memory for cached prompts: a tenth of the pod's, at most the server's own default of 8192 MiB.

    The default stands outside weights and KV cache and would end a small pod by the out-of-memory killer.
    """
    return min(_CACHE_LIMIT_MIB, mebibytes(local.resources.memory or "0Mi") // _CACHE_SHARE)


def _threads(local: Local) -> tuple[str, ...]:
    """Threads from the CPU request: without them the server takes all of the node's."""
    threads = str(cpu_threads(local.resources.cpu or "1"))
    return ("-t", threads, "-tb", threads)


def _accelerator(local: Local) -> tuple[str, ...]:
    """All layers on the GPU, or a failed start that says so: `--fit on` would move layers to the CPU in silence."""
    return () if local.accelerator is None else ("-ngl", "all", "--fit", "off")


def _kv_cache(local: Local) -> tuple[str, ...]:
    kind = local.quantization.kv_cache
    return () if kind is None else ("-ctk", kind, "-ctv", kind)


def _own_args(local: Local) -> tuple[str, ...]:
    """The cascade's own flags; llama-server has no `--name=value` form, so each becomes two arguments."""
    return tuple(part for flag in local.engine.args for part in flag.split("=", 1))
