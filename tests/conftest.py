"""What every test may use: figures that are printed beside their bars, and a loud word about what was skipped."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

__all__ = ["Figure"]


@dataclass(frozen=True)
class Figure:
    """One measured figure and its bar, printed at the end of the run."""

    name: str
    measured: float
    bar: float
    unit: str

    def __str__(self) -> str:
        """One line for a person."""
        verdict = "ok" if self.measured <= self.bar else "MISSED"
        return f"{self.name}: {self.measured:.3g} {self.unit} (bar {self.bar:g} {self.unit}) {verdict}"


_FIGURES = pytest.StashKey[list[Figure]]()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, float, float, str], None]:
    """Record a figure: it is printed whether or not the bar is met, and the test fails when it is missed."""

    def record(name: str, measured: float, bar: float, unit: str) -> None:
        found = Figure(name, measured, bar, unit)
        request.config.stash.setdefault(_FIGURES, []).append(found)
        assert measured <= bar, str(found)

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print all figures, and how many tests did not run."""
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("figures")
        for found in figures:
            terminalreporter.write_line(str(found))
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("NOT proved by this run")
        for report in skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            terminalreporter.write_line(f"{report.nodeid}: {reason}")
