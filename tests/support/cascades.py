"""Cascades for tests: small ones with defaults, and changes to them by path."""

import copy
import json
from typing import Any

from modelcascade.api.parse import parse_cascade
from modelcascade.api.v1alpha1.cascade import ModelCascade
from modelcascade.planning.objects import PlanDefaults

__all__ = ["DEFAULTS", "DIGEST", "UID", "accepted", "cascade_body", "tier_body"]

UID = "11111111-2222-4333-8444-555555555555"
DIGEST = "sha256:" + "0123456789abcdef" * 4
DEFAULTS = PlanDefaults(operator_image="registry.example/modelcascade:1", llama_cpp_image="registry.example/llama:1")


def tier_body(name: str = "small", role: str = "Small", **local: Any) -> dict[str, Any]:
    """A local tier; `local` replaces whole fields of its `local`."""
    return {
        "name": name,
        "role": role,
        "local": {
            "model": {"source": {"uri": f"oci://registry.example/{name}@{DIGEST}"}},
            "engine": {"type": "LlamaCpp"},
            "quantization": {"format": "GGUF", "variant": "Q4_K_M"},
            "resources": {"cpu": "500m", "memory": "1536Mi"},
        }
        | local,
    }


def cascade_body(*tiers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A cascade `assist` in namespace `team`, of two tiers unless others are given."""
    return {
        "apiVersion": "modelcascade.dev/v1alpha1",
        "kind": "ModelCascade",
        "metadata": {"name": "assist", "namespace": "team", "uid": UID, "generation": 3},
        "spec": {"tiers": copy.deepcopy(list(tiers or (tier_body(), tier_body("large", "Specialist"))))} | spec,
    }


def accepted(body: dict[str, Any]) -> ModelCascade:
    """The cascade of a body that must pass every rule."""
    cascade = parse_cascade(json.loads(json.dumps(body)))
    assert isinstance(cascade, ModelCascade), cascade
    return cascade
