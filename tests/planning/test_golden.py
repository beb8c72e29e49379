"""
The children of typical cascades, as files that are read in review: cases/NAME.yaml → golden/NAME.yaml.

A pod template that changes here restarts engines on every cluster that upgrades, so a changed golden file is a
decision. `MODELCASCADE_UPDATE_GOLDEN=1 pytest tests/planning/test_golden.py` writes them anew.
"""

import os
from pathlib import Path

import pytest
import yaml

from modelcascade.planning.plan import plan_cascade
from support.cascades import DEFAULTS, accepted

HERE = Path(__file__).parent
CASES = sorted(path.stem for path in (HERE / "cases").glob("*.yaml"))


@pytest.mark.parametrize("case", CASES)
def test_children_are_the_golden_ones(case: str) -> None:
    """The same cascade becomes the same objects in every version, unless somebody decided otherwise."""
    cascade = accepted(yaml.safe_load((HERE / "cases" / f"{case}.yaml").read_text()))
    objects = [planned.body for planned in plan_cascade(cascade, DEFAULTS).objects]
    golden = HERE / "golden" / f"{case}.yaml"
    if os.environ.get("MODELCASCADE_UPDATE_GOLDEN"):
        text = yaml.safe_dump_all(objects, sort_keys=False, width=120, allow_unicode=True)
        golden.write_text(f"# Children of cases/{case}.yaml; see test_golden.py.\n{text}")
    assert list(yaml.safe_load_all(golden.read_text())) == objects


def test_every_golden_file_has_a_case() -> None:
    """A golden file without a case would prove nothing."""
    assert sorted(path.stem for path in (HERE / "golden").glob("*.yaml")) == CASES
