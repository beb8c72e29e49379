"""
What kopf does for us: list and watch our kinds, keep them in indexes, and call a handler that only adds a key.

Only `index` and `on.event` are used: they write nothing to any object (no annotation, no finalizer). Children and pods
are filtered by our label on the server, so memory grows with our objects and not with the cluster.
"""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from modelcascade.controller.watchdog import EndlessBackoffs
from modelcascade.kube.connect import Connection
from modelcascade.kube.indexes import (
    CascadeKey,
    Indexes,
    index_cascade,
    index_child,
    index_pod,
    key_of_cascade,
    key_of_owner,
)
from modelcascade.kube.resources import CHILD_KINDS, Resource, resource_of
from modelcascade.planning.names import CHILD_SELECTOR

__all__ = ["WATCHED", "build_registry", "build_settings"]

_CASCADE = resource_of("ModelCascade")
_POD = resource_of("Pod")
_CHILDREN = tuple(resource_of(kind) for kind in CHILD_KINDS)

WATCHED: tuple[Resource, ...] = (_CASCADE, *_CHILDREN, _POD)
"""Every kind with a watch of its own; the probe demands a live one for each."""


def build_settings() -> kopf.OperatorSettings:
    """A watch library: no writes, no peering, no scanning, no end to its retries."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.networking.error_backoffs = EndlessBackoffs()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 30
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.process.ultimate_exiting_timeout = 20
    for resource in (*_CHILDREN, _POD):  # filtered by our label, on the server
        settings.watching.label_selectors[resource.group, resource.version, resource.plural] = CHILD_SELECTOR
    return settings


def build_registry(
    connection: Connection,
    add: Callable[[CascadeKey], None],
    on_start: Callable[[Indexes], None],
    probe: Callable[[], str],
) -> kopf.OperatorRegistry:
    """
    All handlers.

    Args:
        connection: whose credentials kopf shares.
        add: puts a key on the work queue.
        on_start: gets the indexes before any watch begins.
        probe: raises when this process should be restarted; else says how it is.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def on_login(**_: Any) -> kopf.ConnectionInfo:
        credentials = await connection.credentials()
        scheme, _space, token = (credentials.authorization or "").partition(" ")
        return kopf.ConnectionInfo(
            server=credentials.server,
            ca_path=credentials.ca_path,
            insecure=credentials.insecure,
            scheme="Bearer" if scheme.lower() == "bearer" else scheme or None,
            token=token.strip() or None,
            certificate_path=credentials.certificate_path,
            private_key_path=credentials.private_key_path,
        )

    @kopf.on.startup(registry=registry)
    async def on_startup(**indexes: Any) -> None:
        on_start(Indexes(cascades=indexes["cascades"], children=indexes["children"], pods=indexes["pods"]))

    # PERMANENT: with any other mode a failing probe is retried, and the request hangs instead of answering 500.
    @kopf.on.probe(registry=registry, id="watchers", errors=kopf.ErrorsMode.PERMANENT)
    async def on_probe(**_: Any) -> str:
        return probe()

    # All of them async: kopf runs a plain function in a thread, where neither the queue nor the indexes may be touched.
    async def cascades(body: Mapping[str, Any], **_: Any) -> Mapping[tuple[str, str], Any]:
        return index_cascade(body)

    async def children(body: Mapping[str, Any], resource: Any, **_: Any) -> Mapping[tuple[str, str], Any]:
        version = f"{resource.group}/{resource.version}" if resource.group else resource.version
        return index_child(resource.kind, version, body)

    async def pods(body: Mapping[str, Any], **_: Any) -> Mapping[tuple[str, str], Any]:
        return index_pod(body)

    async def on_cascade(body: Mapping[str, Any], **_: Any) -> None:
        add(key_of_cascade(body))

    async def on_child(body: Mapping[str, Any], **_: Any) -> None:
        key = key_of_owner(body)
        if key is not None:
            add(key)

    _watch(registry, _CASCADE, cascades, on_cascade)
    for resource in _CHILDREN:
        _watch(registry, resource, children, on_child)
    _watch(registry, _POD, pods, on_child)
    return registry


def _watch(
    registry: kopf.OperatorRegistry, resource: Resource, index: Callable[..., Any], handler: Callable[..., Any]
) -> None:
    selector = (resource.group, resource.version, resource.plural)
    kopf.index(*selector, id=index.__name__, registry=registry)(index)
    kopf.on.event(*selector, id=f"on-{resource.plural}", registry=registry)(handler)
