"""What every test of the controller uses."""

import logging

import pytest


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    """Build every log record: one with a forbidden extra field raises only when its level is on."""
    caplog.set_level(logging.DEBUG, logger="modelcascade")
