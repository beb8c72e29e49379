"""
A small Kubernetes API server over a `FakeCluster`: discovery, list, watch and our writes, on loopback, with faults.

A fault is a rule: which requests, and what they get instead of an answer. Watches can be broken from outside.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from fakes.fake_cluster import Change, FakeCluster
from modelcascade.errors import ClusterError
from modelcascade.kube.cluster import FIELD_MANAGER
from modelcascade.kube.resources import RESOURCES, Resource

__all__ = ["FakeApiServer", "Fault", "serve_api"]

_PATH = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?$"
)


@dataclass(frozen=True)
class Fault:
    """What matching requests get: a status, so many times (None: until it is taken away)."""

    method: str
    path: str
    """A regular expression that is searched in path and query."""

    status: int
    message: str = "made up by the test"
    retry_after: str | None = None


class FakeApiServer:
    """The server's state; `url` and `kubeconfig` are there once it listens."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.url = ""
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self._streams: dict[asyncio.Queue[dict[str, Any] | None], str] = {}
        self.token: str | None = None
        """The only token that is taken; None takes any."""

        self.oldest_version = 0
        """Watches from before this version get 410."""

        cluster.on_change = self._on_change

    def app(self) -> web.Application:
        """The application."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        return app

    def break_watches(self, plural: str, status: dict[str, Any] | None) -> int:
        """Send an ERROR into every open watch of a kind, or end them with None; how many there were."""
        hit = [queue for queue, name in self._streams.items() if name == plural]
        for queue in hit:
            queue.put_nowait(None if status is None else {"type": "ERROR", "object": status})
        return len(hit)

    def open_watches(self) -> set[str]:
        """The kinds that are being watched now."""
        return set(self._streams.values())

    async def wait_for(self, what: str, is_true: Callable[[], object], *, within_s: float = 10.0) -> None:
        """Wait until something is true, or fail and say what it was."""
        try:
            async with asyncio.timeout(within_s):
                while not is_true():  # noqa: ASYNC110 - what is waited for is any state, not an event of ours
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"waited {within_s} s for: {what}") from None

    # ------------------------------------------------------------- inside

    def _on_change(self, change: Change) -> None:
        for queue, plural in self._streams.items():
            if RESOURCES[change.body["kind"]].plural == plural:
                queue.put_nowait({"type": change.type, "object": change.body})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        self.headers.append(dict(request.headers))
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        for fault in self.faults:
            if fault.method == request.method and re.search(fault.path, request.path_qs):
                headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
                return _status(fault.status, fault.message, headers)
        try:
            if (discovery := self._discovery(request.path)) is not None:
                return discovery
            match = _PATH.match(request.path)
            if match is None:
                return _status(404, "the server could not find the requested resource")
            return await self._serve(request, match)
        except ClusterError as error:
            return _status(error.status or 500, str(error))

    def _discovery(self, path: str) -> web.Response | None:
        served = [resource for kind, resource in RESOURCES.items() if kind in self.cluster.served]
        # kopf waits for these two before it does anything, and reads nothing of them
        served += [
            Resource("v1", "Namespace", "namespaces"),
            Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions"),
        ]
        versions = {resource.api_version for resource in served}
        if path == "/api":
            return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            groups = [
                {
                    "name": version.split("/")[0],
                    "versions": [{"groupVersion": version, "version": version.split("/")[1]}],
                    "preferredVersion": {"groupVersion": version, "version": version.split("/")[1]},
                }
                for version in sorted(versions)
                if "/" in version
            ]
            return web.json_response({"kind": "APIGroupList", "groups": groups})
        for version in versions:
            if path == f"/{'apis' if '/' in version else 'api'}/{version}":
                rows = [_row(resource) for resource in served if resource.api_version == version]
                return web.json_response({"kind": "APIResourceList", "groupVersion": version, "resources": rows})
        return None

    async def _serve(self, request: web.Request, match: re.Match[str]) -> web.StreamResponse:
        version = match["core"] or f"{match['group']}/{match['version']}"
        kind = next((kind for kind, one in RESOURCES.items() if one.plural == match["plural"]), None)
        if kind is None or kind not in self.cluster.served:
            return _status(404, "the server could not find the requested resource")
        namespace, name, sub = match["namespace"], match["name"], match["sub"]
        cluster = self.cluster
        match request.method, sub:
            case "GET", None if name is None:
                if request.query.get("watch") == "true":
                    return await self._watch(request, RESOURCES[kind], namespace)
                return self._list(request, kind, version, namespace)
            case "GET", None:
                body = await cluster.get(kind, namespace, name)
                return (
                    _status(404, f'{match["plural"]} "{name}" not found') if body is None else web.json_response(body)
                )
            case "GET", "scale":
                replicas = await cluster.read_scale(namespace, name)
                if replicas is None:
                    return _status(404, f'deployments.apps "{name}" not found')
                return web.json_response({"kind": "Scale", "spec": {"replicas": replicas}})
            case "PATCH", "scale":
                patch = await request.json()
                return web.json_response(await cluster.patch_scale(namespace, name, patch["spec"]["replicas"]))
            case "PATCH", "status":
                patch = await request.json()
                version = patch["metadata"]["resourceVersion"]
                return web.json_response(
                    await cluster.patch_status(namespace, name, resource_version=version, status=patch["status"])
                )
            case "PATCH", None:
                assert request.query["fieldManager"] == FIELD_MANAGER
                force = request.query.get("force") == "true"
                return web.json_response(await cluster.apply(await request.json(), force=force))
            case "DELETE", None:
                conditions = (await request.json())["preconditions"]
                gone = await cluster.delete(
                    kind, namespace, name, uid=conditions["uid"], resource_version=conditions["resourceVersion"]
                )
                return web.json_response({"kind": "Status"}) if gone else _status(404, f"{name} not found")
            case "POST", None:
                body = await request.json()
                await cluster.record_event(body)
                return web.json_response(body, status=201)
        return _status(405, "the server does not allow this method on the requested resource")

    def _list(self, request: web.Request, kind: str, version: str, namespace: str | None) -> web.Response:
        chosen = [body for body in self.cluster.bodies(kind, namespace) if _is_selected(body, request)]
        limit = int(request.query.get("limit", "0")) or len(chosen) or 1
        start = int(request.query.get("continue", "0"))
        metadata = {"resourceVersion": str(self.cluster.version)}
        if start + limit < len(chosen):
            metadata["continue"] = str(start + limit)
        items = [
            {name: value for name, value in body.items() if name not in {"apiVersion", "kind"}}
            for body in chosen[start : start + limit]
        ]
        return web.json_response({"kind": f"{kind}List", "apiVersion": version, "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, resource: Resource, namespace: str | None) -> web.StreamResponse:
        since = int(request.query.get("resourceVersion", "0"))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        if since < self.oldest_version:
            queue.put_nowait({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
            queue.put_nowait(None)
        for change in self.cluster.changes:
            if change.version > since and change.body["kind"] == resource.kind:
                queue.put_nowait({"type": change.type, "object": change.body})
        self._streams[queue] = resource.plural
        try:
            while (event := await queue.get()) is not None:
                body = event["object"]
                is_object = event["type"] != "ERROR"
                if is_object and namespace not in {None, body["metadata"]["namespace"]}:
                    continue
                if is_object and not _is_selected(body, request):
                    continue
                await response.write(json.dumps(event).encode() + b"\n")
        except ConnectionResetError:
            pass  # the client went away
        finally:
            del self._streams[queue]
        return response


def _row(resource: Resource) -> dict[str, Any]:
    return {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "kind": resource.kind,
        "namespaced": resource.plural not in {"namespaces", "customresourcedefinitions"},
        "verbs": ["get", "list", "watch", "patch", "create", "delete"],
    }


def _is_selected(body: dict[str, Any], request: web.Request) -> bool:
    labels = body["metadata"].get("labels") or {}
    for term in filter(None, request.query.get("labelSelector", "").split(",")):
        key, _, value = term.partition("=")
        if labels.get(key) != value.lstrip("="):
            return False
    for term in filter(None, request.query.get("fieldSelector", "").split(",")):
        path, _, value = term.partition("=")
        found: Any = body
        for part in path.split("."):
            found = (found or {}).get(part)
        if found != value:
            return False
    return True


def _status(code: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return web.json_response(body, status=code, headers=headers)


@asynccontextmanager
async def serve_api(cluster: FakeCluster) -> AsyncIterator[FakeApiServer]:
    """A listening server."""
    server = FakeApiServer(cluster)
    runner = web.AppRunner(server.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        for queue in list(server._streams):  # noqa: SLF001 - its own module
            queue.put_nowait(None)
        await runner.cleanup()


def write_kubeconfig(path: Path, url: str, token: str = "token") -> Path:  # noqa: S107 - no secret
    """A kubeconfig for the server."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {"token": token}}],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
