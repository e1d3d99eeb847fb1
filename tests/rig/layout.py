"""Where the parts of a control plane listen and keep their files, and how each is called."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.rig.ports import free_ports

ADMIN = "admin"
STAGES = Path(__file__).parent / "kwok/stages.yaml"


@dataclass(frozen=True)
class Ports:
    """Where everything listens, all on 127.0.0.1."""

    etcd: int
    etcd_peer: int
    api: int
    controllers: int
    scheduler: int
    kubelets: int


def _unused() -> Ports:
    return Ports(*free_ports(6))


@dataclass(frozen=True)
class Layout:
    """One cluster's folder and ports, and from them the flags of each program."""

    folder: Path
    ports: Ports = field(default_factory=_unused)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.ports.api}"

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.etcd}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "certificates/apiserver.crt"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.csv"

    @property
    def signing_key(self) -> Path:
        return self.folder / "sa.key"

    @property
    def signing_key_public(self) -> Path:
        return self.folder / "sa.pub"

    def kubeconfig(self, user: str) -> Path:
        return self.folder / f"{user}.kubeconfig"

    def etcd(self) -> tuple[str, ...]:
        peer = f"http://127.0.0.1:{self.ports.etcd_peer}"
        return (
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--heartbeat-interval=20",
            "--election-timeout=200",
            "--log-level=warn",
        )

    def apiserver(self) -> tuple[str, ...]:
        return (
            f"--etcd-servers={self.etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.ports.api}",
            f"--cert-dir={self.folder / 'certificates'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self.signing_key}",
            f"--service-account-key-file={self.signing_key_public}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--token-auth-file={self.tokens}",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=Hostname,InternalIP",
        )

    def controllers(self) -> tuple[str, ...]:
        return (
            *self._follower(port=self.ports.controllers),
            f"--service-account-private-key-file={self.signing_key}",
            "--use-service-account-credentials=true",
        )

    def scheduler(self) -> tuple[str, ...]:
        return self._follower(port=self.ports.scheduler)

    def _follower(self, *, port: int) -> tuple[str, ...]:
        kubeconfig = self.kubeconfig(ADMIN)
        return (
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self.folder / 'certificates' / str(port)}",
            "--leader-elect=false",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        )

    def kubelets(self) -> tuple[str, ...]:
        return (
            f"--kubeconfig={self.kubeconfig(ADMIN)}",
            f"--config={STAGES}",
            "--enable-crds=Logs",
            "--manage-all-nodes=true",
            "--node-ip=127.0.0.1",
            f"--node-port={self.ports.kubelets}",
            f"--server-address=127.0.0.1:{self.ports.kubelets}",
            "--cidr=10.0.0.0/8",
            "--node-lease-duration-seconds=40",
        )
