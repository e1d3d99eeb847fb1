"""A real Prometheus that scrapes one target, and promtool."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.rig import install
from tests.rig.api import AWAY
from tests.rig.ports import free_ports
from tests.rig.processes import Child, run_once

Sample = dict[str, Any]


class Prometheus:
    """Scrapes `target` (host:port) every `interval`, evaluates rule files as often.

    Use it as a context manager, or `start` and `stop` it.
    """

    def __init__(
        self,
        *,
        folder: Path,
        target: str,
        rule_files: Sequence[Path] = (),
        alertmanager: str | None = None,
        interval: str = "200ms",
    ) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self._configuration = _configuration(
            target=target, rule_files=rule_files, alertmanager=alertmanager, interval=interval
        )
        self.process = Child(
            name="prometheus",
            command=(
                str(install.place("prometheus") / "prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--scrape.discovery-reload-interval=100ms",
                "--log.level=warn",
            ),
            log=folder / "prometheus.log",
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # JSON is YAML.
        (self.folder / "prometheus.yml").write_text(json.dumps(self._configuration, indent=1))
        self.process.start()
        try:
            await self.process.ready(self._answers, within=30, not_yet=AWAY)
        except BaseException:
            await self.process.kill()
            raise

    async def stop(self) -> None:
        await self.process.stop()

    async def query(self, expression: str) -> list[Sample]:
        """Return the samples of an instant query: each has `metric` and `value`."""
        samples: list[Sample] = (await self.fetch("query", query=expression))["result"]
        return samples

    async def value(self, expression: str) -> float | None:
        """Return the value of an expression with one sample; None while it has none."""
        samples = await self.query(expression)
        assert len(samples) < 2, samples
        return float(samples[0]["value"][1]) if samples else None

    async def firing(self) -> list[str]:
        """Return the names of the alerts that fire, in order."""
        alerts = (await self.fetch("alerts"))["alerts"]
        return sorted(
            alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"
        )

    async def fetch(self, path: str, **query: str) -> dict[str, Any]:
        """GET a path of the HTTP API and return its `data`."""
        async with (
            aiohttp.ClientSession(base_url=self.url) as session,
            session.get(f"/api/v1/{path}", params=query) as response,
        ):
            answer = await response.json()
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data

    async def _answers(self) -> bool:
        async with (
            aiohttp.ClientSession(base_url=self.url) as session,
            session.get("/-/ready") as response,
        ):
            return response.status == 200


async def promtool(*arguments: str) -> str:
    """Run promtool and return what it printed; when it fails, that is in the exception."""
    return await run_once((str(install.place("prometheus") / "promtool"), *arguments))


def _configuration(
    *, target: str, rule_files: Sequence[Path], alertmanager: str | None, interval: str
) -> dict[str, Any]:
    alerting = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "scrape_configs": [
            {
                "job_name": "kubearmor-monitor",
                "scrape_timeout": interval,
                "static_configs": [{"targets": [target]}],
            }
        ],
        "rule_files": [str(path) for path in rule_files],
        **({"alerting": alerting} if alertmanager else {}),
    }
