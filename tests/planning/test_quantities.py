"""Quantities, against what Kubernetes 1.36's own library wrote for the same text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcascade.planning.quantities import (
    QuantityError,
    canonical_quantity,
    cpu_threads,
    mebibytes,
    parse_quantity,
)

# Recorded from k8s.io/apimachinery v0.36.3: JSON in, JSON out.
RECORDED = [
    ("1024Mi", "1Gi"),
    ("0.3", "300m"),
    ("300m", "300m"),
    ("1000m", "1"),
    ("1500m", "1500m"),
    ("1.5", "1500m"),
    ("1", "1"),
    ("1000", "1k"),
    ("1000000", "1M"),
    ("1500", "1500"),
    ("1.5Gi", "1536Mi"),
    ("0.5Mi", "512Ki"),
    ("0.1Mi", "104857600m"),
    ("1536Ki", "1536Ki"),
    ("2048Ki", "2Mi"),
    ("1e3", "1e3"),
    ("12e6", "12e6"),
    ("1.5e3", "1500"),
    ("1e-3", "1e-3"),
    ("0", "0"),
    ("0Mi", "0"),
    ("100k", "100k"),
    ("1000k", "1M"),
    ("1048576", "1048576"),
    ("0.5Ki", "512"),
    ("1023", "1023"),
    ("500u", "500u"),
    ("1n", "1n"),
    ("0.1n", "1n"),
    ("1.0001m", "1000100n"),
    (".5", "500m"),
    ("1024Gi", "1Ti"),
    ("1Ei", "1Ei"),
    ("24Gi", "24Gi"),
    ("0.0005", "500u"),
    ("1.5Ki", "1536"),
    ("3.000", "3"),
    ("-1", "-1"),
    ("2560Mi", "2560Mi"),
    ("1E", "1E"),
    ("10e-1", "1"),
    ("1000Ki", "1000Ki"),
]


@pytest.mark.parametrize(("text", "expected"), RECORDED)
def test_canonical_form_is_the_servers(text: str, expected: str) -> None:
    """A manifest in the server's own form never differs from what the server stores."""
    assert expected == canonical_quantity(text)


@pytest.mark.parametrize(("text", "expected"), [("01", "1"), ("+1", "1"), ("5.", "5"), ("1E3", "1e3"), ("1e0", "1")])
def test_spellings_that_the_server_keeps_become_a_form_that_it_keeps(text: str, expected: str) -> None:
    """The server stores these as written; ours is another form that it stores as written too."""
    assert expected == canonical_quantity(text)


@pytest.mark.parametrize("text", ["", "1gi", "abc", "1K", "1 Gi", "1e", "--1", "1.2.3", "Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Rubbish is an error with the text in it, never a number."""
    with pytest.raises(QuantityError, match="is no Kubernetes quantity"):
        canonical_quantity(text)


@given(
    st.integers(0, 10**9),
    st.integers(0, 999),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti", "e2", "e-3"]),
)
def test_canonical_form_keeps_the_value_and_is_its_own_canonical_form(whole: int, part: int, suffix: str) -> None:
    """Rendering twice is rendering once, and nothing is lost above a billionth."""
    text = f"{whole}.{part:03}{suffix}"
    once = canonical_quantity(text)
    assert (once, parse_quantity(text)) == (canonical_quantity(once), parse_quantity(once))


@pytest.mark.parametrize(
    ("cpu", "threads"), [("20m", 1), ("500m", 1), ("1", 1), ("1001m", 2), ("1.5", 2), ("4", 4), ("0", 1)]
)
def test_threads_are_the_cpu_request_rounded_up(cpu: str, threads: int) -> None:
    """An engine has a whole thread, and never fewer than its request pays for."""
    assert threads == cpu_threads(cpu)


@pytest.mark.parametrize(("memory", "expected"), [("1Gi", 1024), ("1536Mi", 1536), ("0.5Mi", 0), ("2Ti", 2_097_152)])
def test_mebibytes_are_rounded_down(memory: str, expected: int) -> None:
    """A part of memory is never overdrawn by rounding."""
    assert expected == mebibytes(memory)
