"""The CRDs on a real API server: all rules accepted at their largest cost, and the whole table message by message."""

import pytest

from modelcascade.api.cel import json_of
from modelcascade.api.parse import parse_cascade
from modelcascade.api.problems import SpecProblems
from support.api_server import ApiServer
from support.bad_inputs import BAD, GOOD, BadInput, GoodInput, base_object, shortest_cascade

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("case", [case for case in BAD if not case.update], ids=str)
def test_the_api_server_refuses(api_server: ApiServer, case: BadInput) -> None:
    """The case's path and message are among the errors, and no further one that the table does not name."""
    found = api_server.create(case.kind, case.body)
    assert (case.path, case.message) in found
    assert found - {(case.path, case.message)} <= case.further


def test_the_api_server_refuses_an_update(api_server: ApiServer) -> None:
    """A role does not change under one name."""
    (case,) = [case for case in BAD if case.update]
    assert api_server.keep(case.kind, base_object(case.kind)) == set()
    assert api_server.replace(case.kind, base_object(case.kind)) == set()
    assert api_server.replace(case.kind, case.body) == {(case.path, case.message)}


@pytest.mark.parametrize("case", GOOD, ids=str)
def test_the_api_server_accepts(api_server: ApiServer, case: GoodInput) -> None:
    """A rule that refuses too much is seen."""
    assert api_server.create(case.kind, case.body) == set()


def test_defaults_are_the_same_on_the_server_and_offline(api_server: ApiServer) -> None:
    """The operator and `lint` see the object that the API server stores."""
    body = shortest_cascade()
    body["metadata"]["name"] = "shortest"
    assert api_server.keep("ModelCascade", body) == set()
    stored = api_server.read("ModelCascade", "shortest")
    parsed = parse_cascade(body)
    assert not isinstance(parsed, SpecProblems)
    assert stored["spec"] == json_of(parsed.spec)
