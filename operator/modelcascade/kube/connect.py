"""
The way to the API server: credentials, one HTTP session, and answers as plain mappings.

Credentials come from a kubeconfig or from the pod's ServiceAccount; the token file is read again every minute, and
after a 401 all credentials are read again once. No client-side retry: who calls decides that.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from modelcascade.kube.failures import TRANSPORT_ERRORS, error_from_answer, error_from_exception

__all__ = ["Connection", "Credentials", "connect"]

_UNAUTHORIZED = 401
_FIRST_ERROR = 400
_CONNECT_TIMEOUT_S = 30
_REQUEST_TIMEOUT_S = 30
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What another HTTP client (kopf's) needs to reach the same API server."""

    server: str
    ca_path: str | None
    insecure: bool
    authorization: str | None
    """The whole header value, scheme included."""

    certificate_path: str | None
    private_key_path: str | None


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, str] | None
    body: Mapping[str, Any] | None
    content_type: str
    timeout: aiohttp.ClientTimeout


class Connection:
    """One API server, one session; close it, or use it as a context manager."""

    def __init__(self, configuration: Any, kubeconfig: str | None) -> None:
        self._configuration = configuration
        self._kubeconfig = kubeconfig
        self._client: Any = ApiClient(configuration)
        self._reload_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the session; requests in flight fail."""
        await self._client.close()

    async def credentials(self) -> Credentials:
        """The present credentials, read anew: who asks has none yet, or was told that its old ones are not valid."""
        await self._reload()
        configuration = self._configuration
        return Credentials(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            authorization=await self._authorization(),
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        timeout_s: float = _REQUEST_TIMEOUT_S,
    ) -> dict[str, Any]:
        """
        One request; the parsed answer.

        Raises:
            ClusterError: what went wrong, with the server's own sentence.
        """
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_TIMEOUT_S)
        what = f"{method} {path}"
        try:
            response = await self._send(_Request(method, path, query, body, content_type, timeout))
            async with response:
                text = await response.read()
        except TRANSPORT_ERRORS as error:
            raise error_from_exception(error, what=what) from error
        answer = _parse(text)
        if response.status >= _FIRST_ERROR:
            raise error_from_answer(response.status, answer, what=what, retry_after=response.headers.get("Retry-After"))
        return answer

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], idle_s: float, total_s: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """
        One long answer of JSON lines, such as a watch.

        Args:
            path: the URL path.
            query: the query parameters.
            idle_s: seconds without a byte after which the stream counts as broken.
            total_s: seconds after which it is cut in any case.

        Raises:
            ClusterError: also from the iteration, when the stream breaks.
        """
        what = f"WATCH {path}"
        timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=_CONNECT_TIMEOUT_S, sock_read=idle_s)
        try:
            response = await self._send(_Request("GET", path, query, None, "application/json", timeout))
        except TRANSPORT_ERRORS as error:
            raise error_from_exception(error, what=what) from error
        try:
            if response.status >= _FIRST_ERROR:
                try:
                    answer = _parse(await response.read())
                except TRANSPORT_ERRORS as error:
                    raise error_from_exception(error, what=what) from error
                raise error_from_answer(
                    response.status, answer, what=what, retry_after=response.headers.get("Retry-After")
                )
            yield _lines(response, what)
        finally:
            response.close()  # an endless body is never drained

    async def _send(self, request: "_Request") -> aiohttp.ClientResponse:
        response = await self._send_once(request)
        if response.status == _UNAUTHORIZED:
            response.release()
            await self._reload()
            response = await self._send_once(request)
        return response

    async def _send_once(self, request: "_Request") -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "Content-Type": request.content_type, "User-Agent": "modelcascade"}
        if authorization := await self._authorization():
            headers["Authorization"] = authorization
        url = self._configuration.host.rstrip("/") + request.path
        if request.query:
            url += "?" + urlencode(request.query)
        answer = await self._client.rest_client.request(
            request.method, url, headers=headers, body=request.body, _request_timeout=request.timeout
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _authorization(self) -> str | None:
        value: str | None = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return value.strip() if value else None

    async def _reload(self) -> None:
        async with self._reload_lock:
            await _load(self._configuration, self._kubeconfig)


async def connect(kubeconfig: str | None = None) -> Connection:
    """
    A connection by `kubeconfig`, else by the pod's ServiceAccount, else by KUBECONFIG or ~/.kube/config.

    Raises:
        ClusterUnreachableError: there are no usable credentials; the message says where they were looked for.
    """
    configuration: Any = Configuration()
    configuration.retries = None
    try:
        await _load(configuration, kubeconfig)
    except TRANSPORT_ERRORS as error:
        raise error_from_exception(error, what="reading the credentials of the cluster") from error
    return Connection(configuration, kubeconfig)


async def _load(configuration: Any, kubeconfig: str | None) -> None:
    if kubeconfig is None and (_SERVICE_ACCOUNT / "token").exists():
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # untyped upstream
        return
    path = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not _is_file(path):
        raise ConfigException(f"no kubeconfig at {path}, and no ServiceAccount token is mounted: pass --kubeconfig")
    await load_kube_config(  # type: ignore[no-untyped-call]  # untyped upstream
        config_file=path, client_configuration=configuration, persist_config=False
    )


def _is_file(paths: str) -> bool:
    # KUBECONFIG may name several files; the loader only warns when there is none.
    return any(Path(part).expanduser().is_file() for part in paths.split(os.pathsep) if part)


def _parse(text: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:  # a proxy's page, or an aggregated API's plain text
        return {"message": text[:200].decode("utf-8", "replace").strip()}
    return answer if isinstance(answer, dict) else {"message": str(answer)[:200]}


async def _lines(response: aiohttp.ClientResponse, what: str) -> AsyncIterator[dict[str, Any]]:
    # Split by hand: aiohttp's own line iteration fails on a line longer than its buffer.
    rest = b""
    try:
        async for piece in response.content.iter_any():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                if line:
                    yield _parse(line)
    except TRANSPORT_ERRORS as error:
        raise error_from_exception(error, what=what) from error
