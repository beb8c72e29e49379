"""
In a cluster: the ConfigMap with the routes and the EndpointSlices of the tiers' Services, from the API server.

Both are watched for ever; while the API server is away, what was last seen stays in force. An engine gets new work
only while its slice says ready and not terminating.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from modelcascade.kube.connect import Connection
from modelcascade.kube.resources import resource_of
from modelcascade.kube.watch import WatchEvent, watch_objects
from modelcascade.router.state import RouterState

__all__ = ["SliceTable", "follow_routes", "follow_slices", "watch_endpoints", "watch_routes"]

ROUTES_KEY = "routes.json"
_SERVICE_LABEL = "kubernetes.io/service-name"


class SliceTable:
    """EndpointSlices by name, and what they say together."""

    def __init__(self) -> None:
        self._slices: dict[str, Mapping[str, Any]] = {}

    def take(self, event: WatchEvent) -> None:
        """Apply one event."""
        match event.type:
            case "RESET":
                self._slices = {_name(each): each for each in event.objects}
            case "ADDED" | "MODIFIED":
                self._slices[_name(event.obj)] = event.obj
            case "DELETED":
                self._slices.pop(_name(event.obj), None)

    def services(self) -> dict[str, list[str]]:
        """Base URLs by Service: ready, and not terminating."""
        services: dict[str, list[str]] = {}
        for each in self._slices.values():
            service = each["metadata"].get("labels", {}).get(_SERVICE_LABEL)
            ports = [port["port"] for port in each.get("ports") or () if port.get("port")]
            if service is None or not ports:
                continue
            found = services.setdefault(service, [])
            for endpoint in each.get("endpoints") or ():
                if _takes_work(endpoint.get("conditions") or {}):
                    found += [_base_url(address, ports[0]) for address in endpoint.get("addresses", ())[:1]]
        return services


def _name(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["name"])


def _takes_work(conditions: Mapping[str, Any]) -> bool:
    # Absent ready means ready; absent terminating means not (Kubernetes API, EndpointConditions).
    return conditions.get("ready") is not False and not conditions.get("terminating")


def _base_url(address: str, port: int) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}"


async def follow_routes(state: RouterState, events: AsyncIterator[WatchEvent]) -> None:
    """Offer each version of the routes ConfigMap."""
    async for event in events:
        if event.type == "DELETED":
            state.reject_routes("the routes ConfigMap was deleted")
            continue
        for body in event.objects:
            text = (body.get("data") or {}).get(ROUTES_KEY)
            if isinstance(text, str):
                state.offer_routes(text)
            else:
                state.reject_routes(f"the routes ConfigMap has no key {ROUTES_KEY}")


async def follow_slices(state: RouterState, events: AsyncIterator[WatchEvent]) -> None:
    """Offer what the slices say after each event."""
    table = SliceTable()
    async for event in events:
        table.take(event)
        state.offer_services(table.services())


async def watch_routes(state: RouterState, connection: Connection, namespace: str, name: str) -> None:
    """Follow one ConfigMap for ever."""
    await follow_routes(
        state,
        watch_objects(connection, resource_of("ConfigMap"), namespace, field_selector=f"metadata.name={name}"),
    )


async def watch_endpoints(state: RouterState, connection: Connection, namespace: str, cascade: str) -> None:
    """Follow the slices of one cascade for ever; the slice controller copies a Service's labels to its slices."""
    await follow_slices(
        state,
        watch_objects(
            connection, resource_of("EndpointSlice"), namespace, label_selector=f"modelcascade.dev/cascade={cascade}"
        ),
    )
