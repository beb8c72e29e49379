"""Objects that once were valid stay valid for as long as their version is served."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelcascade.api.parse import SpecProblems, parse_cascade_strict, parse_policy_strict

CORPUS = sorted((Path(__file__).parent / "corpus").rglob("*.yaml"))


def documents() -> list[Any]:
    """Each object of the corpus, named by its file."""
    return [
        pytest.param(body, id=f"{path.parent.name}/{path.stem}/{body['metadata']['name']}")
        for path in CORPUS
        for body in yaml.safe_load_all(path.read_text())
    ]


@pytest.mark.parametrize("body", documents())
def test_an_object_of_the_past_stays_valid(body: dict[str, Any]) -> None:
    """Narrowing a bound or renaming a field fails here before a user meets it; files of the corpus are never edited."""
    parse = {"ModelCascade": parse_cascade_strict, "CascadeScalingPolicy": parse_policy_strict}[body["kind"]]
    verdict = parse(body)
    assert not isinstance(verdict, SpecProblems), verdict


def test_the_corpus_is_there() -> None:
    """An empty folder would prove nothing."""
    assert len(CORPUS) >= 4
