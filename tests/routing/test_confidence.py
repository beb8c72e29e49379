"""The confidence of an answer from its token logprobs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcascade.routing.confidence import lowest_tenth_confidence


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [
        pytest.param((), None, id="no tokens, no number"),
        pytest.param((-0.5,), math.exp(-0.5), id="one token counts alone"),
        pytest.param((-0.1,) * 8 + (-2.0,), math.exp(-2.0), id="of nine tokens the lowest one counts"),
        pytest.param((-0.1,) * 18 + (-2.0, -4.0), math.exp(-3.0), id="of twenty the two lowest, by their mean"),
        pytest.param((-0.1,) * 28 + (-2.0,), math.exp(-1.05), id="of 29 two: a tenth is rounded down"),
        pytest.param((0.0, 0.0), 1.0, id="certainty is one"),
        pytest.param((-9999.0,), 0.0, id="an engine's floor is zero"),
    ],
)
def test_confidence(logprobs: tuple[float, ...], expected: float | None) -> None:
    """It is exp of the mean of the lowest tenth of the logprobs, at least one."""
    found = lowest_tenth_confidence(logprobs)
    assert found == (expected if expected is None else pytest.approx(expected))


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=200))
def test_confidence_is_between_the_least_likely_token_and_one(logprobs: list[float]) -> None:
    """The number stays in 0-1 and is never below the least likely token's probability."""
    found = lowest_tenth_confidence(logprobs)
    assert found is not None
    assert math.exp(min(logprobs)) <= found * (1 + 1e-9)
    assert found <= 1
