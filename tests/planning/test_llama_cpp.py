"""The command line of llama-server: what it must hold, and that the real parser takes it."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelcascade.api.v1alpha1.engine_args import ALLOWED_ARGS
from modelcascade.planning.engines.llama_cpp import GRACE_S, build_tier
from modelcascade.planning.plan import plan_cascade
from support.cascades import DEFAULTS, accepted, cascade_body, tier_body
from support.llama_server import LlamaServer, find_llama_server

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


def arguments(**local: Any) -> list[str]:
    """The command line of a tier."""
    tier = accepted(cascade_body(tier_body(**local))).spec.tiers[0]
    assert tier.local is not None
    return list(build_tier(tier, tier.local, model_path="/models/m.gguf", default_image="d").args)


def value_of(flag: str, args: list[str]) -> str:
    """What follows a flag, which must stand there once."""
    assert 1 == args.count(flag)
    return args[args.index(flag) + 1]


@pytest.fixture(scope="module")
def llama_server(tmp_path_factory: pytest.TempPathFactory) -> LlamaServer:
    """The real program."""
    return find_llama_server(tmp_path_factory.mktemp("llama-server"))


def parse(server: LlamaServer, args: list[str]) -> subprocess.CompletedProcess[str]:
    """With --version at the end all arguments are parsed, and no model is needed."""
    return subprocess.run(
        [*server.command, *args, "--version"],
        env=os.environ | server.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_the_real_parser_takes_every_golden_command_line(case: Path, llama_server: LlamaServer) -> None:
    """A flag that llama-server does not know would end the engine at its start."""
    plan = plan_cascade(accepted(yaml.safe_load(case.read_text())), DEFAULTS)
    for planned in plan.objects:
        if planned.tier is not None and planned.key.kind == "Deployment":
            args = planned.body["spec"]["template"]["spec"]["containers"][0]["args"]
            done = parse(llama_server, args)
            assert (0, "") == (done.returncode, done.stderr if done.returncode else "")


def test_the_real_parser_refuses_an_unknown_flag(llama_server: LlamaServer) -> None:
    """The check above can fail."""
    assert parse(llama_server, [*arguments(), "--no-such-flag"]).returncode != 0


VALUES = {
    "flash-attn": "on",
    "numa": "distribute",
    "reasoning": "on",
    "reasoning-format": "none",
    "rope-scaling": "none",
    "split-mode": "layer",
    "temp": "0.5",
}
SWITCHES = {"jinja", "no-warmup", "swa-full"}


@pytest.mark.parametrize("flag", ALLOWED_ARGS["LlamaCpp"])
def test_the_real_parser_knows_every_allowed_flag(flag: str, llama_server: LlamaServer) -> None:
    """What admission allows must start."""
    own = f"--{flag}" if flag in SWITCHES else f"--{flag}={VALUES.get(flag, '1')}"
    done = parse(llama_server, arguments(engine={"type": "LlamaCpp", "args": [own]}))
    assert (0, "") == (done.returncode, done.stderr if done.returncode else "")


def test_no_allowed_flag_is_rendered_already() -> None:
    """A flag that stands there twice would quietly win over ours."""
    rendered = {arg for arg in arguments(accelerator={"resource": "nvidia.com/gpu"}) if arg.startswith("-")}
    assert {f"--{flag}" for flag in ALLOWED_ARGS["LlamaCpp"]} & rendered == set()


def test_context_is_per_request() -> None:
    """-c is the total of all slots: contextLength times parallel."""
    args = arguments(
        engine={"type": "LlamaCpp", "parallel": 8},
        model={"source": tier_body()["local"]["model"]["source"], "contextLength": 2048},
    )
    assert ("16384", "8") == (value_of("-c", args), value_of("-np", args))


@pytest.mark.parametrize(
    ("memory", "cache"), [("1536Mi", "153"), ("256Mi", "25"), ("1Mi", "0"), ("80Gi", "8192"), ("1Ti", "8192")]
)
def test_the_prompt_cache_is_a_tenth_of_memory(memory: str, cache: str) -> None:
    """The server's default of 8 GiB would end a small pod by the out-of-memory killer."""
    assert cache == value_of("--cache-ram", arguments(resources={"cpu": "1", "memory": memory}))


@pytest.mark.parametrize(("cpu", "threads"), [("500m", "1"), ("2", "2"), ("2500m", "3")])
def test_threads_come_from_the_cpu_request(cpu: str, threads: str) -> None:
    """Without -t the server would take all threads of the node."""
    args = arguments(resources={"cpu": cpu, "memory": "1Gi"})
    assert (threads, threads) == (value_of("-t", args), value_of("-tb", args))


def test_a_gpu_tier_never_falls_back_to_the_cpu_in_silence() -> None:
    """All layers on the device, and no automatic fit."""
    args = arguments(accelerator={"resource": "nvidia.com/gpu", "count": 1})
    assert ("all", "off") == (value_of("-ngl", args), value_of("--fit", args))
    assert "-ngl" not in arguments()


def test_own_flags_come_last_and_in_two_words() -> None:
    """llama-server has no --name=value form; a value may hold further equal signs."""
    args = arguments(engine={"type": "LlamaCpp", "args": ["--temp=0.5", "--swa-full"]})
    assert ["--temp", "0.5", "--swa-full"] == args[-3:]


def test_the_kv_cache_is_quantized_on_both_sides() -> None:
    """Keys and values get the declared type; without one, nothing is said."""
    args = arguments(quantization={"format": "GGUF", "kvCache": "q8_0"})
    assert ("q8_0", "q8_0") == (value_of("-ctk", args), value_of("-ctv", args))
    assert "-ctk" not in arguments()


def test_the_pod_waits_before_it_is_told_to_stop() -> None:
    """SIGTERM cuts answers off, so the wait comes before it and the grace period outlasts the wait."""
    tier = accepted(cascade_body(tier_body())).spec.tiers[0]
    assert tier.local is not None
    engine = build_tier(tier, tier.local, model_path="/m", default_image="default")
    assert ("default", 20, 25, GRACE_S) == (engine.image, engine.drain_s, engine.grace_s, 25)
