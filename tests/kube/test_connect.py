"""Credentials and plain requests, against a small API server on loopback."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes.fake_api_server import FakeApiServer, Fault, serve_api, write_kubeconfig
from fakes.fake_cluster import FakeCluster
from modelcascade.errors import ClusterForbiddenError, ClusterUnreachableError
from modelcascade.kube.connect import connect


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    """An empty server."""
    async with serve_api(FakeCluster()) as server:
        yield server


async def test_the_token_goes_along(api: FakeApiServer, tmp_path: Path) -> None:
    """The kubeconfig's token is sent, and told to whoever shares the connection."""
    async with await connect(str(write_kubeconfig(tmp_path / "k", api.url, "one"))) as connection:
        await connection.request("GET", "/apis")
        credentials = await connection.credentials()
    assert api.headers[-1]["Authorization"] == "Bearer one"
    assert (credentials.server, credentials.authorization) == (api.url, "Bearer one")


async def test_a_rotated_token_is_read_again(api: FakeApiServer, tmp_path: Path) -> None:
    """After a 401 the credentials are read anew, and the same request is sent once more with them."""
    path = write_kubeconfig(tmp_path / "k", api.url, "old")
    async with await connect(str(path)) as connection:
        write_kubeconfig(path, api.url, "new")
        api.faults.append(Fault("GET", "/apis", 401))
        with pytest.raises(ClusterUnreachableError):
            await connection.request("GET", "/apis")
    assert [headers["Authorization"] for headers in api.headers] == ["Bearer old", "Bearer new"]


async def test_the_servers_sentence_is_the_message(api: FakeApiServer, tmp_path: Path) -> None:
    """An error carries what the server said, its status and its Retry-After."""
    api.faults += [Fault("GET", "/one", 403, "you may not"), Fault("GET", "/two", 429, "slow down", "7")]
    async with await connect(str(write_kubeconfig(tmp_path / "k", api.url))) as connection:
        with pytest.raises(ClusterForbiddenError, match="you may not") as forbidden:
            await connection.request("GET", "/one")
        with pytest.raises(ClusterUnreachableError, match="slow down") as busy:
            await connection.request("GET", "/two")
    assert forbidden.value.status == 403
    assert busy.value.retry_after_s == 7


async def test_nobody_listens(tmp_path: Path) -> None:
    """A refused connection is an unreachable cluster that names the request."""
    async with await connect(str(write_kubeconfig(tmp_path / "k", "http://127.0.0.1:1"))) as connection:
        with pytest.raises(ClusterUnreachableError, match="GET /apis"):
            await connection.request("GET", "/apis")


async def test_no_kubeconfig(tmp_path: Path) -> None:
    """Without credentials the message says where they were looked for and what to pass."""
    with pytest.raises(ClusterUnreachableError, match=r"no kubeconfig at .*absent.*--kubeconfig"):
        await connect(str(tmp_path / "absent"))


async def test_a_broken_kubeconfig(tmp_path: Path) -> None:
    """A kubeconfig without its parts is an unreachable cluster, not a traceback."""
    path = tmp_path / "k"
    path.write_text(json.dumps({"current-context": "none", "contexts": []}), encoding="utf-8")
    with pytest.raises(ClusterUnreachableError, match="credentials"):
        await connect(str(path))
