"""The generated CRDs on a real API server, under a group of their own that no operator watches."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client
from kubernetes.config import kube_config

from modelcascade.api.v1alpha1.meta import VERSION
from modelcascade.schema.structural import KINDS
from support.server_words import problems_of
from support.waiting import eventually

__all__ = ["ApiServer", "serve_crds"]

CRDS = Path(__file__).parents[2] / "crds"
GROUP = "cases.modelcascade.dev"
NAMESPACE = "modelcascade-cases"
PLURALS = {kind.__name__: kind.plural for kind in KINDS}


def _mine(body: dict[str, Any]) -> dict[str, Any]:
    mine = copy.deepcopy(body)
    mine["apiVersion"] = f"{GROUP}/{VERSION}"
    mine["metadata"]["namespace"] = NAMESPACE
    return mine


@dataclass(frozen=True)
class ApiServer:
    """Asks the API server for its verdict on objects, with fieldValidation=Strict; only `keep` stores one."""

    objects: client.CustomObjectsApi

    def create(self, kind: str, body: dict[str, Any]) -> set[tuple[str, str]]:
        """The problems that the server sees when the object is created, in a dry run."""
        place = (GROUP, VERSION, NAMESPACE, PLURALS[kind])
        return self._verdict(self.objects.create_namespaced_custom_object, *place, _mine(body), dry_run="All")

    def replace(self, kind: str, body: dict[str, Any]) -> set[tuple[str, str]]:
        """The problems that the server sees when the stored object of that name becomes this one, in a dry run."""
        name = body["metadata"]["name"]
        mine = _mine(body)
        mine["metadata"]["resourceVersion"] = self.read(kind, name)["metadata"]["resourceVersion"]
        place = (GROUP, VERSION, NAMESPACE, PLURALS[kind], name)
        return self._verdict(self.objects.replace_namespaced_custom_object, *place, mine, dry_run="All")

    def keep(self, kind: str, body: dict[str, Any]) -> set[tuple[str, str]]:
        """Store the object."""
        place = (GROUP, VERSION, NAMESPACE, PLURALS[kind])
        return self._verdict(self.objects.create_namespaced_custom_object, *place, _mine(body))

    def read(self, kind: str, name: str) -> dict[str, Any]:
        """The stored object, with the server's defaults."""
        found: Any = self.objects.get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURALS[kind], name)
        return dict(found)

    @staticmethod
    def _verdict(call: Callable[..., object], *arguments: Any, **options: str) -> set[tuple[str, str]]:
        try:
            call(*arguments, field_validation="Strict", **options)
        except client.ApiException as error:
            return problems_of(json.loads(str(error.body)))
        return set()


def _missing(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except client.ApiException as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return True
        raise
    return False


class _Definitions:
    """The CRDs of this checkout, under the group of the cases."""

    def __init__(self, connection: client.ApiClient) -> None:
        self._crds = client.ApiextensionsV1Api(connection)
        self._core = client.CoreV1Api(connection)
        self.objects = client.CustomObjectsApi(connection)

    def create(self) -> None:
        try:
            self._core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
        except client.ApiException as error:
            if error.status != HTTPStatus.CONFLICT:  # a run before this one was cut off
                raise
        for plural in PLURALS.values():
            crd = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
            crd["spec"]["group"] = GROUP
            crd["metadata"]["name"] = f"{plural}.{GROUP}"
            self._crds.create_custom_resource_definition(client.V1CustomResourceDefinition.model_validate(crd))
            eventually(partial(self._served, plural), within_s=30, what=f"{plural} are served")

    def _served(self, plural: str) -> bool:
        return not _missing(lambda: self.objects.list_namespaced_custom_object(GROUP, VERSION, NAMESPACE, plural))

    def remove(self) -> None:
        for plural in PLURALS.values():
            name = f"{plural}.{GROUP}"
            if not _missing(partial(self._crds.delete_custom_resource_definition, name)):
                eventually(partial(self._gone, name), within_s=30, what=f"CRD {name} is gone")

    def _gone(self, name: str) -> bool:
        return _missing(lambda: self._crds.read_custom_resource_definition(name))

    def remove_namespace(self) -> None:
        self._core.delete_namespace(NAMESPACE)


@contextmanager
def serve_crds(kubeconfig: str) -> Iterator[ApiServer]:
    """The API server with the CRDs of this checkout, taken away again at the end."""
    connection: client.ApiClient = kube_config.new_client_from_config(kubeconfig)  # type: ignore[no-untyped-call]  # untyped in the client
    definitions = _Definitions(connection)
    definitions.remove()
    definitions.create()
    try:
        yield ApiServer(definitions.objects)
    finally:
        definitions.remove()
        definitions.remove_namespace()
