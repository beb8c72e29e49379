"""`modelcascade render FILE`: the objects that a cascade becomes, as YAML, without a cluster."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from modelcascade.api.parse import SpecProblems, parse_cascade_strict
from modelcascade.api.problems import Problem
from modelcascade.api.unsupported import find_unsupported
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.planning.plan import CascadePlan, PlanDefaults, plan_cascade

__all__ = ["run_render"]

_UID = "00000000-0000-0000-0000-000000000000"
_HEADER = f"""\
# What the operator would apply for ModelCascade {{namespace}}/{{name}}.
# The uid {_UID} stands for the one that the API server gives; with it change the selectors
# and the hashes. `replicas` of a tier is never rendered: it is written through /scale.
"""


def run_render(arguments: Sequence[str]) -> int:
    """Print the objects of every cascade in the file; 1 when one is refused or the file cannot be read."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    try:
        text = sys.stdin.read() if options.file == "-" else Path(options.file).read_text(encoding="utf-8")
        bodies = [body for body in yaml.safe_load_all(text) if body is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return _refuse(f"{options.file}: {error}")
    cascades = [body for body in bodies if isinstance(body, dict) and body.get("kind") == "ModelCascade"]
    if not cascades:
        return _refuse(f"{options.file}: holds no ModelCascade")
    defaults = PlanDefaults(operator_image=options.operator_image, llama_cpp_image=options.engine_image)
    plans: list[tuple[ModelCascade, CascadePlan]] = []
    for body in cascades:
        cascade = _accept(body)
        if isinstance(cascade, SpecProblems):
            return _refuse(*(f"{options.file}: {problem}" for problem in cascade.problems))
        named = _with_identity(cascade, options.namespace)
        plans.append((named, plan_cascade(named, defaults)))
    for cascade, plan in plans:
        sys.stdout.writelines(_documents(cascade, plan))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelcascade render", description="Print the objects that would be applied for a cascade, as YAML."
    )
    parser.add_argument("file", metavar="FILE", help="YAML with one or more ModelCascade objects; - reads standard in")
    parser.add_argument("--namespace", default="default", help="namespace of a cascade that names none (default)")
    parser.add_argument("--operator-image", default="modelcascade", help="image of router and inspection")
    parser.add_argument("--engine-image", default="llama-server", help="image of a LlamaCpp engine that names none")
    return parser


def _accept(body: dict[str, Any]) -> ModelCascade | SpecProblems:
    cascade = parse_cascade_strict(body)
    if isinstance(cascade, SpecProblems):
        return cascade
    unsupported: tuple[Problem, ...] = find_unsupported(cascade)
    return SpecProblems(unsupported) if unsupported else cascade


def _with_identity(cascade: ModelCascade, namespace: str) -> ModelCascade:
    metadata = cascade.metadata
    own = {"namespace": metadata.namespace or namespace, "uid": metadata.uid or _UID}
    return cascade.model_copy(update={"metadata": metadata.model_copy(update=own)})


def _documents(cascade: ModelCascade, plan: CascadePlan) -> Iterator[str]:
    yield _HEADER.format(namespace=cascade.metadata.namespace, name=cascade.metadata.name)
    for planned in plan.objects:
        if planned.create:
            yield f"---\n{yaml.safe_dump(planned.body, sort_keys=False, width=120)}"
        else:
            yield f"# {planned.key} is not created while tier {planned.tier} is Suspended.\n"


def _refuse(*lines: str) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return 1
