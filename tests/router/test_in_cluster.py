"""The process as the operator starts it: routes and endpoints come from an API server, and outlast it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from fakes.fake_api_server import serve_api, write_kubeconfig
from fakes.fake_cluster import FakeCluster
from fakes.fake_engine import FakeEngine, Reply, running_engine

NAMESPACE = "team"
LABELS = {"modelcascade.dev/cascade": "assist", "kubernetes.io/service-name": "assist-small"}


def routes_map(generation: int) -> dict[str, Any]:
    """The ConfigMap that the operator writes."""
    tier = {"name": "small", "role": "Small", "rank": 0, "service": "assist-small", "servedName": "m"}
    text = orjson.dumps({"cascade": "assist", "generation": generation, "tiers": [tier]}).decode()
    metadata = {"name": "assist-routes", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"routes.json": text}}


def slice_at(url: str | None) -> dict[str, Any]:
    """The slice of the tier's Service."""
    metadata = {"name": "assist-small-x", "namespace": NAMESPACE, "labels": LABELS}
    where = urlsplit(url) if url is not None else None
    endpoints = [{"addresses": [where.hostname], "conditions": {"ready": True}}] if where is not None else []
    ports = [{"name": "http", "port": where.port if where is not None else 8080}]
    body = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
    return body | {"addressType": "IPv4", "endpoints": endpoints, "ports": ports}


async def test_routes_and_endpoints_come_from_the_api_server_and_outlast_it(tmp_path: Path) -> None:
    """Ready without an engine; an engine that comes gets work; with the API server gone it still answers (R35)."""
    cluster = FakeCluster()
    cluster.put(routes_map(1))
    cluster.put(slice_at(None))
    body = {"model": "assist", "messages": [{"role": "user", "content": "x"}]}
    async with running_engine(FakeEngine(Reply(text="hi"))) as engine, aiohttp.ClientSession() as session:
        async with serve_api(cluster) as api:
            kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", api.url)
            command = ["--cascade", "assist", "--namespace", NAMESPACE, "--routes-configmap", "assist-routes"]
            ports = ["--port", "0", "--metrics-port", "0", "--host", "127.0.0.1"]
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "modelcascade", "router", *command, *ports, "--kubeconfig", str(kubeconfig)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            try:
                assert process.stderr is not None
                port, routed = 0, False
                async with asyncio.timeout(30):
                    while not (port and routed):
                        line = json.loads(await process.stderr.readline())
                        port = line.get("port", port)
                        routed = routed or line["message"] == "routes in force"
                url = f"http://127.0.0.1:{port}"

                async def until(status: int, *, path: str = "/v1/chat/completions") -> aiohttp.ClientResponse:
                    async with asyncio.timeout(15):
                        while True:
                            asked = (
                                session.get(url + path) if path == "/readyz" else session.post(url + path, json=body)
                            )
                            async with asked as response:
                                await response.read()
                                if response.status == status:
                                    return response

                await until(200, path="/readyz")
                assert (await until(503)).headers["x-modelcascade-reason"] == "tier_unavailable"
                cluster.put(slice_at(engine.url))
                assert (await until(200)).headers["x-modelcascade-tier"] == "small"
                cluster.put(slice_at(None))
                await until(503)
                cluster.put(slice_at(engine.url))
                await until(200)
                assert {"configmaps", "endpointslices"} <= api.open_watches()
            except BaseException:
                process.kill()
                raise
        assert (await until(200)).headers["x-modelcascade-cascade"] == "assist"
        process.terminate()
        async with asyncio.timeout(15):
            await process.communicate()
        assert process.returncode == 0
