"""
What pydantic cannot say and a CRD needs: CEL rules, list types, immutable unions, printer columns.

Markers stand in `Annotated[...]` or in a model's `model_config["json_schema_extra"]`; the `schema` room turns
them into `x-kubernetes-*` keys, and `lint` evaluates the same CEL text offline.
"""

from dataclasses import dataclass

__all__ = ["CEL", "IntOrString", "ListType", "PrinterColumn", "rules_of"]


@dataclass(frozen=True, slots=True)
class CEL:
    """
    One `x-kubernetes-validations` rule.

    Args:
        rule: the CEL text, with `self` (and `oldSelf` in transition rules).
        message: a whole sentence that says what is wrong and what to do.
        field_path: relative path that the error names instead of the rule's own place, such as `.name`.
    """

    rule: str
    message: str
    field_path: str | None = None


@dataclass(frozen=True, slots=True)
class ListType:
    """`x-kubernetes-list-type`: `map` with its keys, `set`, or `atomic`."""

    kind: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IntOrString:
    """`x-kubernetes-int-or-string`: only where Kubernetes itself has it (ports, quantities)."""


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """One column of `kubectl get`; `priority` 1 shows only with `-o wide`."""

    name: str
    type: str
    json_path: str
    description: str
    priority: int = 0


def rules_of(model: type) -> tuple[CEL, ...]:
    """The rules that a model class declares in its own `cel_rules`, never those of its bases."""
    rules = vars(model).get("cel_rules", ())
    return tuple(rules)
