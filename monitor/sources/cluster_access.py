"""How to reach and to satisfy the Kubernetes API: address, trust, credentials.

Tokens and certificates are files that someone else renews. A token is read again when its file
changes or when the server refuses it; trust and client certificates likewise, per connection.
"""

import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from monitor.errors import ConfigurationError, SourceError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KUBECONFIG = "~/.kube/config"

Fingerprint: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class Access(Struct, frozen=True):
    """Where the API server is and what to show it; file names may be empty.

    `token_file` wins over `token`. `server_name` is what its certificate must name, if not the
    host of `server`.
    """

    server: str
    token: str = ""
    token_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    server_name: str = ""
    verify: bool = True


class Credentials:
    """Access that stays valid: files are read again when they change.

    `renew` makes a new `Access` where files are not all there is to it (a kubeconfig that runs a
    plugin); it is called when the server has refused the current one.
    """

    def __init__(
        self, access: Access, *, renew: Callable[[], Awaitable[Access]] | None = None
    ) -> None:
        self._access = access
        self._renew = renew
        self._token: tuple[Fingerprint, str] | None = None
        self._tls: tuple[Fingerprint, ssl.SSLContext] | None = None

    @property
    def server(self) -> str:
        return self._access.server.rstrip("/")

    @property
    def server_name(self) -> str | None:
        return self._access.server_name or None

    def headers(self) -> dict[str, str]:
        """Return what authorises a request; raise OSError or SourceError for an unusable file."""
        token = self._bearer()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def tls(self) -> ssl.SSLContext | bool:
        """Return what connections trust; raise OSError where a file cannot be read."""
        if not self.server.startswith("https:"):
            return True
        access = self._access
        current = _fingerprint(access.ca_file, access.certificate_file, access.key_file)
        if self._tls is None or self._tls[0] != current:
            self._tls = (current, _context(access))
        return self._tls[1]

    async def renew(self) -> None:
        """Forget what was read: the server refused it."""
        self._token = None
        self._tls = None
        if self._renew is not None:
            self._access = await self._renew()

    def _bearer(self) -> str:
        path = self._access.token_file
        if not path:
            return self._access.token
        current = _fingerprint(path)
        if self._token is None or self._token[0] != current:
            self._token = (current, _token(Path(path)))
        return self._token[1]


def in_cluster(
    *, environment: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT
) -> Credentials:
    """Return the access of the service account that a Pod runs under."""
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (service_account / "token").exists():
        raise SourceError(
            "not in a cluster (no KUBERNETES_SERVICE_HOST or no service account token): "
            "run in a Pod with a service account, or give a kubeconfig or a server"
        )
    return Credentials(
        Access(
            server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
            token_file=str(service_account / "token"),
            ca_file=str(service_account / "ca.crt"),
        )
    )


async def from_kubeconfig(path: str | None = None, *, context: str | None = None) -> Credentials:
    """Return the access of a kubeconfig; its plugins are run again when the server refuses it.

    Without a path, that of the KUBECONFIG variable or the usual place. Raises ConfigurationError
    for one that cannot be used now; one that cannot be used later is an error that is retried.
    """
    files = path or os.environ.get("KUBECONFIG") or KUBECONFIG

    async def load() -> Access:
        try:
            return await _load_kubeconfig(files, context)
        except ConfigurationError as error:
            raise SourceError(str(error)) from error

    return Credentials(await _load_kubeconfig(files, context), renew=load)


async def _load_kubeconfig(files: str, context: str | None) -> Access:
    # 37 MiB and half a second, which only those pay who need it.
    from kubernetes_asyncio import client, config

    unusable = f"the kubeconfig {files} cannot be used"
    if not _any_exists(files):
        raise ConfigurationError(f"{unusable}: there is no such file")
    configuration = client.Configuration()
    try:
        await config.load_kube_config(
            config_file=files, context=context, client_configuration=configuration
        )
    except (config.ConfigException, OSError, ValueError) as error:
        raise ConfigurationError(f"{unusable}: {error}") from error
    # What the library's code runs into where a file is no YAML, or YAML of another shape.
    except Exception as error:
        raise ConfigurationError(f"{unusable}: it does not have the form of one") from error
    bearer = configuration.api_key.get("BearerToken") or ""
    return Access(
        server=configuration.host or "",
        token=bearer.removeprefix("Bearer ").strip(),
        ca_file=configuration.ssl_ca_cert or "",
        certificate_file=configuration.cert_file or "",
        key_file=configuration.key_file or "",
        server_name=getattr(configuration, "tls_server_name", None) or "",
        verify=configuration.verify_ssl,
    )


def _any_exists(files: str) -> bool:
    return any(Path(file).expanduser().exists() for file in files.split(os.pathsep) if file)


def _token(path: Path) -> str:
    """Return the token in a file; raise `SourceError` for what no header can carry."""
    token = path.read_bytes().strip()
    if not token.isascii() or not token.decode("ascii").isprintable():
        raise SourceError(f"{path} holds no token")
    return token.decode("ascii")


def _context(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=access.ca_file or None)
    # Cluster authorities without key usage are common, and other clients accept them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.certificate_file:
        context.load_cert_chain(access.certificate_file, access.key_file or None)
    return context


def _fingerprint(*paths: str) -> Fingerprint:
    """Say which files these are now; a mounted secret changes by a swap of symbolic links."""
    return tuple(_identity(path) if path else None for path in paths)


def _identity(path: str) -> tuple[int, int, int]:
    status = Path(path).stat()
    return (status.st_ino, status.st_mtime_ns, status.st_size)
