"""
Which flags `engine.args` may hold: one allow-list per engine, with the flags that only tune speed and sampling.

A deny-list would be unsafe: parsers accept unambiguous prefixes and other spellings. Flags that the operator
renders itself (model, address, context, slots, threads, names, metrics), that open files or networks, that load
code, or that log prompts are not on any list. Engine Custom has none: its image is the user's own.
"""

__all__ = ["ALLOWED_ARGS", "LLAMA_CPP_SWITCHES"]

LLAMA_CPP_SWITCHES = ("jinja", "no-warmup", "swa-full")
"""
The flags of LlamaCpp without a value; all others need one.

llama-server knows no `--name=value`, so planning makes two arguments of it. A value after a switch, or one that
starts like a flag, would therefore reach the server as a flag of its own and pass the allow-list by.
"""

ALLOWED_ARGS: dict[str, tuple[str, ...]] = {
    "LlamaCpp": (
        "batch-size",
        "cache-reuse",
        "flash-attn",
        "frequency-penalty",
        "jinja",
        "keep",
        "main-gpu",
        "min-p",
        "no-warmup",
        "numa",
        "poll",
        "presence-penalty",
        "prio",
        "reasoning",
        "reasoning-budget",
        "reasoning-format",
        "repeat-penalty",
        "rope-freq-base",
        "rope-freq-scale",
        "rope-scale",
        "rope-scaling",
        "seed",
        "split-mode",
        "swa-full",
        "temp",
        "tensor-split",
        "top-k",
        "top-p",
        "ubatch-size",
        "yarn-orig-ctx",
    ),
    "VLLM": (
        "block-size",
        "disable-prefix-caching",
        "dtype",
        "enable-auto-tool-choice",
        "enable-chunked-prefill",
        "enable-prefix-caching",
        "enforce-eager",
        "gpu-memory-utilization",
        "max-logprobs",
        "max-num-batched-tokens",
        "no-enable-prefix-caching",
        "pipeline-parallel-size",
        "reasoning-parser",
        "seed",
        "tool-call-parser",
    ),
    "SGLang": (
        "attention-backend",
        "chunked-prefill-size",
        "disable-radix-cache",
        "dp-size",
        "dtype",
        "grammar-backend",
        "max-prefill-tokens",
        "mem-fraction-static",
        "pp-size",
        "random-seed",
        "reasoning-parser",
        "schedule-policy",
        "tool-call-parser",
    ),
}
"""Engine type → flag names without the leading `--`, sorted."""
