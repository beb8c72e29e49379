"""
The demo: install the chart, apply the 20-line cascade, ask it real questions, and show which tier answered.

    python hack/demo.py up     (what `make demo` calls; leaves everything running)
    python hack/demo.py down   (what `make demo-down` calls; the cluster stays)

Each wait has a deadline and says what it waits for.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.client import RELEASE, SYSTEM_NAMESPACE, Client, install_chart
from devcluster.console import ScriptError, say
from devcluster.images import model_references
from devcluster.layout import Layout
from devcluster.store import image_references

__all__ = ["Answer", "ask", "pin_models", "router_address"]

NAMESPACE = "demo"
CASCADE = "assist"
EXAMPLE = Path("manifests") / "examples" / "01-quickstart" / "cascade.yaml"
READY_DEADLINE_S = 240
CRDS = ("modelcascades.modelcascade.dev", "cascadescalingpolicies.modelcascade.dev")

# The small model is sure of the first two, and rightly so; it is wrong about the others, and not sure.
QUESTIONS = (
    "What is 17 + 25? Answer with the number only.",
    "Name the capital of France in one word.",
    "Which planet is the largest? One word.",
    "Explain in two sentences why the French Revolution began.",
)


@dataclass(frozen=True)
class Answer:
    """What a client sees of one request."""

    question: str
    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float

    def fact(self, name: str) -> str:
        """A decision header without its prefix; `-` when it is absent."""
        return self.headers.get(f"x-modelcascade-{name}", "-")


def ask(address: tuple[str, int], question: str, **more: Any) -> Answer:
    """One chat completion, at most 200 tokens, at temperature 0, so that a demo repeats."""
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 200,
        "temperature": 0,
        **more,
    }
    started = time.perf_counter()
    connection = http.client.HTTPConnection(*address, timeout=180)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        payload = response.read()
    finally:
        connection.close()
    seconds = time.perf_counter() - started
    headers = {key.lower(): value for key, value in response.getheaders()}
    content = json.loads(payload)
    text = content["choices"][0]["message"]["content"] if response.status == http.HTTPStatus.OK else str(content)
    return Answer(question, response.status, headers, text, seconds)


def pin_models(text: str, refs: Mapping[str, str]) -> str:
    """The example, with each `…/models/NAME@sha256:…` pointing at the image that this cluster holds."""

    def pinned(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in refs:
            raise ScriptError(f"the cluster holds no model image {name}: run `make images`")
        return f"oci://{refs[name]}"

    return re.sub(r"oci://[^\"'\s]*/models/(?P<name>[a-z0-9.-]+)@sha256:[0-9a-f]{64}", pinned, text)


@contextlib.contextmanager
def router_address(client: Client, namespace: str, cascade: str, *, local: bool) -> Iterator[tuple[str, int]]:
    """Host and port of the cascade's Service: its ClusterIP on the local node, else through a port-forward."""
    if local:
        service = client.get("service", cascade, "-n", namespace)
        yield service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"]
        return
    forward = subprocess.Popen(
        ["kubectl", "--kubeconfig", str(client.kubeconfig), "-n", namespace, "port-forward", f"svc/{cascade}", ":80"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = forward.stdout.readline() if forward.stdout else ""
        match = re.search(r"127\.0\.0\.1:(\d+)", line)
        if match is None:
            raise ScriptError(f"kubectl port-forward did not start: {line.strip() or 'no output'}")
        yield "127.0.0.1", int(match[1])
    finally:
        forward.terminate()
        forward.wait(timeout=10)


def wait_ready(client: Client, namespace: str, cascade: str) -> float:
    """Seconds until condition Ready is True; the condition's own message when it takes too long."""
    started = time.perf_counter()
    shown = ""
    while True:
        seen = client.get("mcas", cascade, "-n", namespace)
        status = seen.get("status", {})
        if status.get("observedGeneration") != seen["metadata"]["generation"]:
            status = {}  # it speaks of an older spec
        ready = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), None)
        waited = time.perf_counter() - started
        if ready and ready["status"] == "True":
            return waited
        now = f"{ready['reason']}: {ready['message']}" if ready else "the operator has not looked at it yet"
        if now != shown:
            say(f"  {waited:4.0f} s  {now}")
            shown = now
        if waited > READY_DEADLINE_S:
            raise ScriptError(
                f"{namespace}/{cascade} was not Ready after {READY_DEADLINE_S} s: {now}\n"
                f"  next: kubectl -n {namespace} get pods; kubectl -n {SYSTEM_NAMESPACE} logs deploy/{RELEASE}"
            )
        time.sleep(0.5)


def show(answers: list[Answer]) -> None:
    """The table for a person."""
    rows = [("request", "tier", "escalations", "reason", "confidence", "latency")]
    rows += [
        (
            answer.question if len(answer.question) <= 52 else f"{answer.question[:49]}...",
            answer.fact("tier"),
            answer.fact("escalations"),
            answer.fact("reason"),
            answer.fact("confidence"),
            f"{answer.seconds:.2f} s",
        )
        for answer in answers
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def run_up(layout: Layout, *, local: bool) -> None:
    client = Client.for_layout(layout)
    say("installing the chart")
    install_chart(client, layout.repository, image_references(layout))
    say(f"applying {EXAMPLE} to namespace {NAMESPACE}")
    client.namespace(NAMESPACE)
    example = pin_models((layout.repository / EXAMPLE).read_text(), model_references(layout))
    # `replace`, because `apply` would leave a field alone that somebody tried out with `kubectl patch`.
    there = client.kubectl("get", "mcas", CASCADE, "-n", NAMESPACE, "--ignore-not-found", "-o", "name")
    client.kubectl("replace" if there else "create", "-n", NAMESPACE, "-f", "-", stdin=example)
    seconds = wait_ready(client, NAMESPACE, CASCADE)
    became = "Ready already" if seconds < 0.5 else f"Ready after {seconds:.1f} s"  # a second run starts nothing
    say(f"{became}; asking {len(QUESTIONS)} questions")
    with router_address(client, NAMESPACE, CASCADE, local=local) as address:
        answers = [ask(address, question) for question in QUESTIONS]
    print()
    show(answers)
    print()
    print(client.kubectl("get", "mcas", "-n", NAMESPACE))
    tiers = {answer.fact("tier") for answer in answers}
    failed = [answer for answer in answers if answer.status != http.HTTPStatus.OK]
    if failed or tiers != {"small", "specialist"}:
        detail = failed[0].text if failed else f"only {', '.join(sorted(tiers))} answered"
        raise ScriptError(f"the demo expects an answer of the small tier and an escalated one: {detail}")
    host, port = address
    settings = f"  export KUBECONFIG={client.kubeconfig}" + (f" PATH={layout.bin}:$PATH" if local else "") + "\n"
    if not local:  # the demo's own port-forward has ended
        host, port = "127.0.0.1", 8080
        settings += f"  kubectl -n {NAMESPACE} port-forward svc/{CASCADE} {port}:80 &\n"
    print(
        "Try next:\n"
        f"{settings}"
        f"  kubectl -n {NAMESPACE} get mcas,pods\n"
        f"  kubectl -n {NAMESPACE} describe mcas {CASCADE}\n"
        f"  curl -si http://{host}:{port}/v1/chat/completions -H 'content-type: application/json' \\\n"
        '    -d \'{"model":"auto","messages":[{"role":"user","content":"What is 2+2?"}]}\'\n'
        f"  kubectl -n {NAMESPACE} patch mcas {CASCADE} --type merge \\\n"
        '    -p \'{"spec":{"routing":{"verification":{"minConfidencePercent":0}}}}\'   # keep all in the small tier\n'
        "  make demo    # puts the cascade back as it was, and asks again\n"
        f"  kubectl -n {NAMESPACE} logs deploy/{CASCADE}-router   # one decision record per request\n"
        "  make demo-down    # remove the demo; make cluster-down removes the cluster"
    )


def run_down(layout: Layout) -> None:
    client = Client.for_layout(layout)
    if client.owns(NAMESPACE):
        client.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")
    if not client.owns(SYSTEM_NAMESPACE):
        say(f"{SYSTEM_NAMESPACE} was not made by the demo, or is gone already: operator and CRDs are left as they are")
        return
    client.run("helm", "uninstall", RELEASE, "-n", SYSTEM_NAMESPACE, "--ignore-not-found", "--wait")
    client.kubectl("delete", "namespace", SYSTEM_NAMESPACE, "--timeout=120s")
    left = [
        name
        for crd in CRDS
        if crd_exists(client, crd)
        for name in client.kubectl("get", crd, "-A", "-o", "name").split()
    ]
    if left:
        say(f"the CRDs stay, because deleting them would delete {', '.join(left)}")
    else:
        client.kubectl("delete", "crd", *CRDS, "--ignore-not-found", "--timeout=60s")
    say("the demo is removed; the cluster is still up (make cluster-down removes it)")


def crd_exists(client: Client, crd: str) -> bool:
    """Whether the cluster knows the kind at all."""
    return bool(client.kubectl("get", "crd", crd, "--ignore-not-found", "-o", "name"))


def main() -> int:
    """Run one verb; 1 with one message when it could not be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("up", "down"))
    verb = parser.parse_args().verb
    layout = Layout.from_environment()
    try:
        if verb == "up":
            run_up(layout, local=os.environ.get("CLUSTER", "local") == "local")
        else:
            run_down(layout)
    except ScriptError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
