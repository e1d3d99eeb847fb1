"""Credentials that stay valid while their files change."""

import base64
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from monitor.errors import ConfigurationError, SourceError
from monitor.sources.api_server import NETWORK_ERRORS, ApiServer
from monitor.sources.cluster_access import Access, Credentials, from_kubeconfig, in_cluster
from tests.clock import ManualClock
from tests.sources.certificates import Authority, Pair
from tests.sources.running import connected


def service_account(folder: Path) -> Path:
    folder.mkdir()
    (folder / "token").write_text("first\n")
    (folder / "ca.crt").write_text("")
    return folder


def swap(path: Path, text: str) -> None:
    """Replace a file as a mounted secret is replaced: by another one."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def test_the_service_account_of_a_pod(tmp_path: Path) -> None:
    credentials = in_cluster(
        environment={"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"},
        service_account=service_account(tmp_path / "account"),
    )

    assert credentials.server == "https://10.96.0.1:6443"
    assert credentials.headers() == {"Authorization": "Bearer first"}


def test_an_address_of_the_sixth_version_is_bracketed(tmp_path: Path) -> None:
    credentials = in_cluster(
        environment={"KUBERNETES_SERVICE_HOST": "fd00::1"},
        service_account=service_account(tmp_path / "account"),
    )

    assert credentials.server == "https://[fd00::1]:443"


@pytest.mark.parametrize("environment", [{}, {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}])
def test_outside_a_cluster_there_is_no_service_account(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="not in a cluster"):
        in_cluster(environment=environment, service_account=tmp_path / "nowhere")


def test_a_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    account = service_account(tmp_path / "account")
    credentials = Credentials(Access(server="http://x", token_file=str(account / "token")))
    before = credentials.headers()
    swap(account / "token", "second\n")

    assert [before, credentials.headers()] == [
        {"Authorization": "Bearer first"},
        {"Authorization": "Bearer second"},
    ]


@pytest.mark.parametrize("content", [b"two\nlines", b"\xff\xfe", "t\u00f6ken".encode(), b"a\x00b"])
def test_a_file_that_holds_no_token_is_an_error_that_is_retried(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    credentials = Credentials(Access(server="http://x", token_file=str(path)))
    with pytest.raises(SourceError, match="holds no token"):
        credentials.headers()
    path.write_bytes(b"good\n")
    assert credentials.headers() == {"Authorization": "Bearer good"}


def test_no_token_is_no_header() -> None:
    assert Credentials(Access(server="http://x")).headers() == {}


@asynccontextmanager
async def https(pair: Pair, *, client_authority: Path | None = None) -> AsyncIterator[str]:
    """Serve `ok` over TLS."""

    async def respond(request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peercert")
        return web.json_response(
            {"token": request.headers.get("Authorization"), "peer": bool(peer)}
        )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(client_authority)
    application = web.Application()
    application.router.add_get("/", respond)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(server: ApiServer) -> dict[str, object]:
    async with server.get("/", query={}, answer_within=5, accept="*/*") as response:
        answered: dict[str, object] = await response.json()
        return answered


async def test_the_authority_of_the_cluster_is_trusted_and_no_other(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    async with https(ours.issue("server")) as url:
        for authority, trusted in ((ours, True), (other, False)):
            access = Access(server=url, ca_file=str(authority.certificate), token="t")
            async with connected(
                url, clock=ManualClock(), credentials=Credentials(access)
            ) as server:
                if trusted:
                    assert await ask(server) == {"token": "Bearer t", "peer": False}
                else:
                    with pytest.raises(NETWORK_ERRORS):
                        await ask(server)


async def test_a_new_authority_is_trusted_when_its_file_changes(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    trusted = tmp_path / "ca.crt"
    trusted.write_text(other.certificate.read_text())
    async with https(ours.issue("server")) as url:
        credentials = Credentials(Access(server=url, ca_file=str(trusted)))
        async with connected(url, clock=ManualClock(), credentials=credentials) as server:
            with pytest.raises(NETWORK_ERRORS):
                await ask(server)
            swap(trusted, ours.certificate.read_text())

            assert await ask(server) == {"token": None, "peer": False}


async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    client = ours.issue("client")
    async with https(ours.issue("server"), client_authority=ours.certificate) as url:
        access = Access(
            server=url,
            ca_file=str(ours.certificate),
            certificate_file=str(client.certificate),
            key_file=str(client.key),
        )
        async with connected(url, clock=ManualClock(), credentials=Credentials(access)) as server:
            assert await ask(server) == {"token": None, "peer": True}


async def test_the_name_in_the_certificate_may_be_another_than_the_address(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    pair = ours.issue("server", subject_names="DNS:kubernetes.default.svc")
    async with https(pair) as url:
        access = Access(
            server=url, ca_file=str(ours.certificate), server_name="kubernetes.default.svc"
        )
        async with connected(url, clock=ManualClock(), credentials=Credentials(access)) as server:
            assert await ask(server) == {"token": None, "peer": False}


async def test_an_authority_that_cannot_be_read_is_an_error_that_is_retried() -> None:
    credentials = Credentials(Access(server="https://127.0.0.1:9", ca_file="/nowhere"))
    async with connected("", clock=ManualClock(), credentials=credentials) as server:
        with pytest.raises(NETWORK_ERRORS):
            await ask(server)


def kubeconfig(folder: Path, *, user: Mapping[str, object]) -> str:
    """Write a kubeconfig (JSON is YAML)."""
    authority = base64.b64encode(b"authority").decode()
    path = folder / "kubeconfig"
    path.write_text(json.dumps({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {
            "server": "https://127.0.0.1:6443", "certificate-authority-data": authority}}],
        "users": [{"name": "u", "user": user}],
    }))  # fmt: skip
    return str(path)


async def test_a_kubeconfig_with_a_token(tmp_path: Path) -> None:
    credentials = await from_kubeconfig(kubeconfig(tmp_path, user={"token": "t"}))

    assert credentials.server == "https://127.0.0.1:6443"
    assert credentials.headers() == {"Authorization": "Bearer t"}


async def test_the_plugin_of_a_kubeconfig_is_run_again_when_its_token_is_refused(
    tmp_path: Path,
) -> None:
    plugin = tmp_path / "plugin"
    counter = tmp_path / "runs"
    credential = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":'
    plugin.write_text(
        f'#!/bin/sh\necho run >> {counter}\n'
        f'echo \'{credential}{{"token":"\'$(wc -l < {counter})\'"}}}}\'\n'
    )  # fmt: skip
    plugin.chmod(0o755)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    credentials = await from_kubeconfig(kubeconfig(tmp_path, user=user))
    first = credentials.headers()

    await credentials.renew()

    assert [first, credentials.headers()] == [
        {"Authorization": "Bearer 1"},
        {"Authorization": "Bearer 2"},
    ]


async def test_a_kubeconfig_that_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere cannot be used: there is no such file"):
        await from_kubeconfig(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "contexts: 7", "clusters: [7]", "a: \x01"])
async def test_what_is_no_kubeconfig_is_an_error_that_names_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=f"{path} cannot be used"):
        await from_kubeconfig(str(path))


async def test_a_context_that_is_not_in_the_kubeconfig_is_an_error_that_names_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match="staging"):
        await from_kubeconfig(kubeconfig(tmp_path, user={"token": "t"}), context="staging")


async def test_a_kubeconfig_that_is_gone_when_it_is_read_again_is_an_error_that_is_retried(
    tmp_path: Path,
) -> None:
    credentials = await from_kubeconfig(kubeconfig(tmp_path, user={"token": "t"}))
    shutil.rmtree(tmp_path)
    with pytest.raises(SourceError, match="there is no such file"):
        await credentials.renew()


def test_the_client_library_is_loaded_only_for_a_kubeconfig() -> None:
    code = (
        "import sys, monitor.sources.kubernetes, monitor.sources.daemon_log;"
        "sys.exit('kubernetes_asyncio' in sys.modules)"
    )

    assert subprocess.run((sys.executable, "-c", code), check=False).returncode == 0
