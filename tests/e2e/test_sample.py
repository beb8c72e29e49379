"""The 20-line sample on the real cluster: Ready, answering, escalating, streaming, bounded, and its figures."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from time import perf_counter

import openai
import pytest

from demo import EXAMPLE, Answer, ask
from support.e2e import LAYOUT, Cluster
from support.waiting import eventually

pytestmark = pytest.mark.e2e

RecordFigure = Callable[[str, float, float, str], None]
NAMESPACE = "e2e-sample"
SURE = "What is 17 + 25? Answer with the number only."


@dataclass(frozen=True)
class Sample:
    cluster: Cluster
    address: tuple[str, int]
    created_s: float
    ready_s: float

    def threshold(self, percent: int) -> None:
        patch = {"spec": {"routing": {"verification": {"minConfidencePercent": percent}}}}
        self.cluster.client.kubectl("patch", "mcas", "assist", "-n", NAMESPACE, "--type=merge", "-p", json.dumps(patch))

    def client(self) -> openai.OpenAI:
        host, port = self.address
        return openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key="unused", max_retries=0)


@pytest.fixture(scope="module")
def sample(cluster: Cluster) -> Iterator[Sample]:
    """The example, applied once and Ready; removed after the module."""
    cluster.client.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
    cluster.client.namespace(NAMESPACE)
    expected = {"assist", "assist-small", "assist-specialist", "assist-router", "assist-routes"}
    start = perf_counter()
    cluster.example(NAMESPACE)
    eventually(
        lambda: expected <= {child["metadata"]["name"] for child in cluster.children(NAMESPACE, "assist")},
        within_s=30,
        what="all child objects exist",
    )
    created_s = perf_counter() - start
    cluster.wait_condition(NAMESPACE, "assist", "Ready", "True", within_s=120)
    ready_s = perf_counter() - start
    service = cluster.client.get("service", "assist", "-n", NAMESPACE)
    yield Sample(cluster, (service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"]), created_s, ready_s)
    cluster.client.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def settle(sample: Sample, percent: int, tier: str) -> Answer:
    """Set the threshold and wait until an answer follows it."""
    sample.threshold(percent)

    def follows() -> Answer | None:
        answer = ask(sample.address, SURE)
        return answer if answer.fact("tier") == tier else None

    return eventually(follows, within_s=30, what=f"an answer of {tier} under threshold {percent}")


def test_the_example_is_twenty_lines_or_fewer() -> None:
    """The shortest useful cascade must stay short."""
    assert len((LAYOUT.repository / EXAMPLE).read_text().splitlines()) <= 20


def test_sample_becomes_ready_in_time(sample: Sample, figure: RecordFigure) -> None:
    """All child objects within 2 s of the apply, Ready within 30 s with images present."""
    figure("apply to all child objects created", sample.created_s, 2, "s")
    figure("apply to Ready, images present", sample.ready_s, 30, "s")


def test_status_says_where_and_what(sample: Sample) -> None:
    """The URL, every condition with the newest generation, each tier with its replicas; and the printed columns."""
    cascade = sample.cluster.client.get("mcas", "assist", "-n", NAMESPACE)
    status = cascade["status"]
    assert f"http://assist.{NAMESPACE}.svc/v1" == status["url"]
    conditions = {condition["type"]: condition for condition in status["conditions"]}
    wanted = {"Ready", "Accepted", "ModelsAvailable", "QuantizationMatched", "TiersReady", "RouterReady"}
    assert wanted <= conditions.keys()
    assert {"True"} == {conditions[kind]["status"] for kind in wanted}
    assert {cascade["metadata"]["generation"]} == {c["observedGeneration"] for c in status["conditions"]}
    assert [("small", 1), ("specialist", 1)] == [(t["name"], t["replicas"]["ready"]) for t in status["tiers"]]
    printed = sample.cluster.client.kubectl("get", "mcas", "assist", "-n", NAMESPACE)
    assert re.search(r"NAME\s+READY\s+REASON\s+TIERS", printed), printed
    assert "2/2" in printed


def test_threshold_zero_keeps_answers_in_the_small_tier(sample: Sample) -> None:
    """With 0, what passes the hard checks is accepted from the small tier."""
    answer = settle(sample, 0, "small")
    assert ("0", "accepted", 200) == (answer.fact("escalations"), answer.fact("reason"), answer.status)
    assert "42" in answer.text


def test_threshold_hundred_escalates_everything(sample: Sample) -> None:
    """With 100, nothing is accepted below the last tier, however sure."""
    answer = settle(sample, 100, "specialist")
    assert ("1", "final_tier", 200) == (answer.fact("escalations"), answer.fact("reason"), answer.status)


def test_a_threshold_edit_takes_effect_in_time(sample: Sample, figure: RecordFigure) -> None:
    """From the edit to the first answer under it: 5 s at most."""
    settle(sample, 0, "small")
    start = perf_counter()
    settle(sample, 100, "specialist")
    seconds = perf_counter() - start
    figure("threshold edit to first answer under it", seconds, 5, "s")


def test_streaming_gives_only_the_accepted_answer(sample: Sample) -> None:
    """A streamed, escalated answer reads as one answer of one model, and ends properly."""
    settle(sample, 100, "specialist")
    parts: list[str] = []
    models: set[str] = set()
    finish: list[str] = []
    with sample.client() as client:
        stream = client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": SURE}], max_tokens=60, temperature=0, stream=True
        )
        for chunk in stream:
            models.add(chunk.model)
            for choice in chunk.choices:
                parts.append(choice.delta.content or "")
                finish += [choice.finish_reason] if choice.finish_reason else []
    assert {"specialist"} == models
    assert ["stop"] == finish
    assert 1 == "".join(parts).count("42")


def test_a_verified_answer_streams_too(sample: Sample) -> None:
    """An accepted small answer is released as a stream by the router."""
    settle(sample, 0, "small")
    with sample.client() as client:
        stream = client.chat.completions.create(
            model="assist", messages=[{"role": "user", "content": SURE}], max_tokens=60, temperature=0, stream=True
        )
        text = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)
    assert "42" in text


def test_models_lists_the_cascade_and_its_tiers(sample: Sample) -> None:
    """`/v1/models` names what a client may ask for."""
    with sample.client() as client:
        names = {model.id for model in client.models.list()}
    assert {"assist", "assist/small", "assist/specialist"} <= names


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        pytest.param("{", 400, "invalid_request", None, id="broken JSON"),
        pytest.param('{"model":"auto"}', 400, "invalid_request", "messages", id="no messages"),
        pytest.param(
            '{"model":"nope","messages":[{"role":"user","content":"x"}]}',
            404,
            "model_not_found",
            "model",
            id="no such model",
        ),
    ],
)
def test_a_bad_request_gets_an_openai_shaped_error(
    sample: Sample, body: str, status: int, code: str, param: str | None
) -> None:
    """Status, code and field; never a stack trace."""
    connection = HTTPConnection(*sample.address, timeout=30)
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    error = json.loads(response.read())["error"]
    connection.close()
    assert (status, code, param) == (response.status, error["code"], error["param"])
    assert response.headers["x-request-id"] == error["request_id"]
    assert "Traceback" not in error["message"]


def test_the_next_tier_answers_while_an_engine_is_gone(sample: Sample) -> None:
    """The small tier's pod is killed: every request is still answered, then by the small tier again."""
    settle(sample, 0, "small")
    client = sample.cluster.client
    client.kubectl("delete", "pod", "-n", NAMESPACE, "-l", "modelcascade.dev/tier=small", "--force", "--grace-period=0")
    with ThreadPoolExecutor(2) as pool:
        meanwhile = list(pool.map(lambda _: ask(sample.address, SURE), range(4)))
    assert [200] * 4 == [answer.status for answer in meanwhile]
    assert "specialist" in {answer.fact("tier") for answer in meanwhile}
    eventually(
        lambda: ask(sample.address, SURE).fact("tier") == "small", within_s=60, what="the small tier answers again"
    )
    sample.cluster.wait_condition(NAMESPACE, "assist", "Ready", "True", within_s=30)


def test_each_request_leaves_one_decision_record(sample: Sample) -> None:
    """The decision log names the request, its tier and its steps, and holds no text."""
    answer = settle(sample, 0, "small")
    request = answer.fact("request-id")

    def log() -> str:
        return sample.cluster.client.kubectl("logs", "deploy/assist-router", "-n", NAMESPACE, "--tail=200")

    eventually(lambda: request in log(), within_s=10, what=f"a record of {request} in the router's log")
    assert 1 == log().count(request)
    assert "17 + 25" not in log()
