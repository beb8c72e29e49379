"""
Kubernetes quantities, written as the API server writes them back: 1024Mi is 1Gi, 0.3 is 300m.

The server canonicalises what it stores, so a manifest that says 1024Mi would differ from the stored object for ever
and be applied again and again. Rules: `Quantity.CanonicalizeBytes` of k8s.io/apimachinery.
"""

import math
import re
from fractions import Fraction

__all__ = ["QuantityError", "canonical_quantity", "cpu_threads", "mebibytes", "parse_quantity"]

_SHAPE = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_BINARY_SUFFIX = {power: suffix for suffix, power in _BINARY.items()}
_DECIMAL_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_NANO = Fraction(1, 10**9)
_THOUSAND = 1000
_BINARY_STEP = 1024


class QuantityError(ValueError):
    """The text is no quantity; the API refuses it first, so this is met only in `quantities` itself."""


def _read(text: str) -> tuple[Fraction, str]:
    """Value, rounded up to the server's precision of one billionth, and the suffix as written."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise QuantityError(f"{text!r} is no Kubernetes quantity, such as 500m, 4 or 24Gi")
    sign, digits, exponent, suffix = found.groups()
    value = Fraction(f"{digits}{(exponent or '').lower()}")
    if suffix in _BINARY:
        value *= _BINARY_STEP ** _BINARY[suffix]
    else:
        value *= Fraction(_THOUSAND) ** _DECIMAL[suffix or ""]
    value = math.ceil(value / _NANO) * _NANO
    return (-value if sign == "-" else value), (suffix or "") if exponent is None else "e"


def parse_quantity(text: str) -> Fraction:
    """The value in its base unit: cores, bytes or pieces."""
    return _read(text)[0]


def canonical_quantity(text: str) -> str:
    """The same quantity as the API server would store it."""
    value, suffix = _read(text)
    if value == 0:
        return "0"
    if suffix in _BINARY and value.denominator == 1 and value % _BINARY_STEP == 0:
        mantissa, power = int(value), 0
        while mantissa % _BINARY_STEP == 0 and power < max(_BINARY_SUFFIX):
            mantissa, power = mantissa // _BINARY_STEP, power + 1
        return f"{mantissa}{_BINARY_SUFFIX[power]}"
    # A number of bytes without suffix would be read back as a decimal one: 1000 bytes are 1k.
    mantissa, power = int(value / _NANO), -3
    while mantissa % _THOUSAND == 0 and power < max(_DECIMAL_SUFFIX):
        mantissa, power = mantissa // _THOUSAND, power + 1
    if suffix == "e":
        return f"{mantissa}e{3 * power}" if power else str(mantissa)
    return f"{mantissa}{_DECIMAL_SUFFIX[power]}"


def cpu_threads(cpu: str) -> int:
    """Threads for an engine: the CPU request rounded up, at least one (there is no CPU limit to count instead)."""
    return max(1, math.ceil(parse_quantity(cpu)))


def mebibytes(memory: str) -> int:
    """Whole MiB in a memory quantity, rounded down."""
    return int(parse_quantity(memory) / 2**20)
