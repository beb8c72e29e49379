"""What every test of the controller uses."""

import logging

import pytest

from controller.stories import Story, cascade_body


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    """Build every log record: one with a forbidden extra field raises only when its level is on."""
    caplog.set_level(logging.DEBUG, logger="modelcascade")


@pytest.fixture
def story() -> Story:
    """A cluster with one cascade that nobody has looked at yet."""
    story = Story()
    story.cluster.put(cascade_body())
    return story
