"""The configuration: a YAML file, and variables `KUBEARMOR_MONITOR_SECTION__KEY`, which win.

`load` checks everything before it complains: one message names every problem and where it stands.
Only variables with a double underscore are ours: Kubernetes sets `KUBEARMOR_MONITOR_SERVICE_HOST`
and its like in every Pod beside a Service of that name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta, Struct

from monitor.errors import ConfigurationError

PREFIX = "KUBEARMOR_MONITOR_"
SEPARATOR = "__"

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86400)]
Bytes: TypeAlias = Annotated[int, Meta(ge=1 << 16)]
Namespaces: TypeAlias = Annotated[int, Meta(ge=0, le=150)]
Text: TypeAlias = Annotated[str, Meta(min_length=1)]


class Cluster(Struct, frozen=True):
    """What is watched."""

    name: Text = "default"
    """The cluster's name in every record and report."""
    scope: Literal["cluster", "node"] = "cluster"
    """`cluster` reads everything; `node` only one node, as a sidecar of its daemon."""
    node: str = ""
    """The node's name where scope is `node`."""


class Kubernetes(Struct, frozen=True):
    """How the API server is reached; nothing set: the Pod's service account, else a kubeconfig."""

    kubeconfig: Text | None = None
    """Path of a kubeconfig file."""
    context: Text | None = None
    """The kubeconfig's context, if not its current one."""
    url: Text | None = None
    """The API server's address; then no kubeconfig is read."""
    token_file: Text | None = None
    """File with the bearer token, read again when it changes."""
    ca_file: Text | None = None
    """File with the certificate authority of the API server."""


class KubeArmor(Struct, frozen=True):
    """How KubeArmor is reached."""

    namespace: Text = "kubearmor"
    """The namespace of KubeArmor's own Pods."""
    relay: str = "kubearmor.kubearmor.svc:32767"
    """HOST:PORT of the relay; empty for none."""
    daemons: bool = False
    """Dial every node's daemon directly too (from KubeArmor v1.7.4 on: older ones can crash)."""
    text: bool = True
    """Follow the daemons' own output through the API server."""
    health: bool = True
    """Ask the health services of those daemons whose start their output does not show."""
    tls: bool = False
    """Speak TLS to the relay and the daemons."""
    ca_file: Text | None = None
    """Certificate authority of the relay and the daemons."""
    certificate_file: Text | None = None
    """Client certificate for them."""
    key_file: Text | None = None
    """Key of the client certificate."""
    server_name: Text | None = None
    """The name in the relay's certificate, if it is not the relay's host."""


class Judgement(Struct, frozen=True):
    """How patient the judgement is; seconds."""

    grace: Seconds = 10.0
    """How long a pair may be pending before it is a gap."""
    grace_limit: Seconds = 120.0
    """The most that grace is prolonged while a daemon works through older Pods."""
    start_assumed: Seconds = 60.0
    """How long a daemon whose output is unread is taken to need from start to initialised."""
    incident_hold: Seconds = 60.0
    """Within what time a closed incident is reopened under the same id."""
    rollout_limit: Seconds = 120.0
    """How long a roll-out of KubeArmor may leave a node without a daemon that is ready."""


class Kafka(Struct, frozen=True):
    """Where records go; without brokers they go to the JSON-lines sink."""

    brokers: tuple[Text, ...] = ()
    """HOST:PORT of some brokers; in the environment separated by commas."""
    prefix: str = "kubearmor-monitor."
    """What every topic's name begins with."""
    tls: bool = False
    """Speak TLS to the brokers."""
    ca_file: Text | None = None
    """Certificate authority of the brokers."""
    certificate_file: Text | None = None
    """Client certificate for them."""
    key_file: Text | None = None
    """Key of the client certificate."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """How to log in."""
    sasl_username: Text | None = None
    """Who logs in."""
    sasl_password_file: Text | None = None
    """File with the password."""


class Jsonl(Struct, frozen=True):
    """The JSON-lines sink."""

    path: Text | None = None
    """File to append to, `-` for standard output (the default where Kafka is not configured)."""


class Outbox(Struct, frozen=True):
    """What holds records from their decision to their delivery."""

    path: Text | None = None
    """SQLite file; without it the outbox is in memory and dies with the process."""
    max_bytes: Bytes = 256 << 20
    """What it may hold; beyond that the sources wait."""


class Http(Struct, frozen=True):
    """The two listeners; HOST:PORT, `:PORT` for every address of the Pod, empty for none."""

    probes: str = ":9469"
    """`/metrics`, `/livez`, `/readyz`."""
    api: str = "127.0.0.1:9470"
    """The board and `/api/v1`."""


class Metrics(Struct, frozen=True):
    """Labels that grow with the cluster."""

    namespaces: Namespaces = 50
    """How many namespaces get series of their own; the others share `_other_`."""


class Log(Struct, frozen=True):
    """The monitor's own log, on standard error."""

    format: Literal["json", "text"] = "json"
    """One JSON object a line, or text for people."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe line to print."""


class Configuration(Struct, frozen=True):
    """All sections."""

    cluster: Cluster = Cluster()
    kubernetes: Kubernetes = Kubernetes()
    kubearmor: KubeArmor = KubeArmor()
    judgement: Judgement = Judgement()
    kafka: Kafka = Kafka()
    jsonl: Jsonl = Jsonl()
    outbox: Outbox = Outbox()
    http: Http = Http()
    metrics: Metrics = Metrics()
    log: Log = Log()


SECTIONS: Mapping[str, type[Struct]] = {
    section.name: section.type for section in msgspec.structs.fields(Configuration)
}


def load(path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """Read the file (None: no file) and the environment; one error lists every problem."""
    reading = _Reading()
    if path is not None:
        reading.take(_file_settings(path, reading))
    reading.take(_environment_settings(environment, reading))
    configuration = reading.result()
    reading.problems.extend(_contradictions(configuration, reading.origins))
    if reading.problems:
        raise ConfigurationError(_message(reading.problems))
    return configuration


def endpoint(text: str) -> tuple[str | None, int]:
    """Split HOST:PORT; None for the host means every address. ValueError says what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"expected HOST:PORT or :PORT, got {text!r}")
    return host.removeprefix("[").removesuffix("]") or None, int(port)


@dataclass(frozen=True)
class _Setting:
    where: str
    section: str
    key: str
    value: Any


@dataclass
class _Reading:
    """The values read so far, where each came from, and what was wrong."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def take(self, settings: Iterator[_Setting]) -> None:
        for setting in settings:
            name = f"{setting.section}.{setting.key}"
            kind = _keys(setting.section)[setting.key]
            try:
                value = msgspec.convert(setting.value, kind)
            except msgspec.ValidationError as error:
                self.problems.append(f"{setting.where}: {name}: {_plain(error, kind)}")
                continue
            self.values.setdefault(setting.section, {})[setting.key] = value
            self.origins[name] = setting.where

    def result(self) -> Configuration:
        return msgspec.convert(self.values, Configuration)


def _keys(section: str) -> dict[str, Any]:
    return {key.name: key.type for key in msgspec.structs.fields(SECTIONS[section])}


def _plain(error: msgspec.ValidationError, kind: object) -> str:
    text = str(error).partition(" - at ")[0]
    choices = [choice for choice in get_args(kind) if isinstance(choice, str)]
    allowed = f"; there are {', '.join(choices)}" if choices else ""
    return f"{text[:1].lower()}{text[1:]}{allowed}"


def _suggestion(word: str, known: Iterator[str] | list[str]) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


# --- the file ---------------------------------------------------------------------------------


def _file_settings(path: Path, reading: _Reading) -> Iterator[_Setting]:
    import yaml

    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
    except (OSError, UnicodeDecodeError) as error:
        reading.problems.append(f"{path}: cannot be read: {error}")
        return
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        reading.problems.append(f"{path}:{line}: not YAML: {error.problem}")
        return
    except yaml.YAMLError as error:
        reading.problems.append(f"{path}: not YAML: {str(error).splitlines()[0]}")
        return
    yield from _Document(path=path, loader=loader, reading=reading).settings(root)


@dataclass(frozen=True)
class _Document:
    path: Path
    loader: Any
    reading: _Reading

    def settings(self, root: Any) -> Iterator[_Setting]:
        for _, section, body in self._pairs(root, "the file", list(SECTIONS)):
            for line, key, node in self._pairs(body, section, list(_keys(section))):
                value = self.loader.construct_object(node, deep=True)
                yield _Setting(where=f"{self.path}:{line}", section=section, key=key, value=value)

    def _pairs(self, node: Any, name: str, known: list[str]) -> Iterator[tuple[int, str, Any]]:
        if node is None or node.tag == "tag:yaml.org,2002:null":
            return
        if node.id != "mapping":
            where = f"{self.path}:{node.start_mark.line + 1}"
            self.reading.problems.append(f"{where}: {name} must be a mapping of keys to values")
            return
        seen: set[str] = set()
        for key_node, value in node.value:
            line, key = key_node.start_mark.line + 1, str(key_node.value)
            if problem := _key_problem(key, known=known, seen=seen):
                self.reading.problems.append(f"{self.path}:{line}: {name}: {problem}")
                continue
            seen.add(key)
            yield line, key, value


def _key_problem(key: str, *, known: list[str], seen: set[str]) -> str | None:
    if key not in known:
        return f"unknown key {key!r}{_suggestion(key, known)}"
    if key in seen:
        return f"{key!r} stands here twice"
    return None


# --- the environment --------------------------------------------------------------------------


def variable(section: str, key: str) -> str:
    """Return the name of the variable that sets a key."""
    return f"{PREFIX}{section}{SEPARATOR}{key}".upper()


def _environment_settings(environment: Mapping[str, str], reading: _Reading) -> Iterator[_Setting]:
    known = {
        variable(section, key): (section, key) for section in SECTIONS for key in _keys(section)
    }
    for name in sorted(environment):
        if not name.startswith(PREFIX) or SEPARATOR not in name.removeprefix(PREFIX):
            continue
        if name not in known:
            hint = _suggestion(name, list(known))
            reading.problems.append(f"{name}: no such setting{hint}")
            continue
        section, key = known[name]
        value = _from_text(environment[name], _keys(section)[key])
        yield _Setting(where=name, section=section, key=key, value=value)


WORDS = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def _from_text(text: str, kind: object) -> object:
    """Read a variable's text as a key of that type; what it cannot mean stays text."""
    if kind is bool:
        return WORDS.get(text.lower(), text)
    if kind == tuple[Text, ...]:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind in (Seconds, Bytes, Namespaces):
        return _number(text)
    return text


def _number(text: str) -> int | float | str:
    for parse in (int, float):
        try:
            return parse(text)
        except ValueError:
            continue
    return text


# --- what no key says alone -------------------------------------------------------------------


def _contradictions(configuration: Configuration, origins: Mapping[str, str]) -> Iterator[str]:
    for name, problem in (
        *_missing_partners(configuration),
        *_bad_endpoints(configuration.http, configuration.kubearmor, configuration.kafka),
        *_unreadable_files(configuration),
    ):
        yield f"{origins.get(name, 'default')}: {name}: {problem}"


def _missing_partners(configuration: Configuration) -> Iterator[tuple[str, str]]:
    kafka, judgement = configuration.kafka, configuration.judgement
    if configuration.cluster.scope == "node" and not configuration.cluster.node:
        yield "cluster.scope", "node needs cluster.node"
    if kafka.brokers and configuration.jsonl.path:
        yield "jsonl.path", "records go to one place: leave out either this or kafka.brokers"
    if kafka.sasl_mechanism and not (kafka.sasl_username and kafka.sasl_password_file):
        yield "kafka.sasl_mechanism", "needs kafka.sasl_username and kafka.sasl_password_file"
    if judgement.grace > judgement.grace_limit:
        yield "judgement.grace", "is longer than judgement.grace_limit"
    if configuration.kubearmor.tls and not configuration.kubearmor.ca_file:
        yield "kubearmor.tls", "needs kubearmor.ca_file"
    for name, section in (("kubearmor", configuration.kubearmor), ("kafka", kafka)):
        if bool(section.certificate_file) != bool(section.key_file):
            yield f"{name}.certificate_file", f"goes with {name}.key_file"
        if (section.ca_file or section.certificate_file) and not section.tls:
            yield f"{name}.tls", "is off although certificates are configured"


def _bad_endpoints(http: Http, kubearmor: KubeArmor, kafka: Kafka) -> Iterator[tuple[str, str]]:
    named = (
        ("http.probes", http.probes),
        ("http.api", http.api),
        ("kubearmor.relay", kubearmor.relay),
        *(("kafka.brokers", broker) for broker in kafka.brokers),
    )
    for name, text in named:
        try:
            endpoint(text or ":0")
        except ValueError as error:
            yield name, str(error)


def _unreadable_files(configuration: Configuration) -> Iterator[tuple[str, str]]:
    for section in SECTIONS:
        values = getattr(configuration, section)
        for key in _keys(section):
            path = getattr(values, key)
            if path and (key.endswith("_file") or key == "kubeconfig") and not Path(path).is_file():
                yield f"{section}.{key}", f"no such file: {path}"


def _message(problems: list[str]) -> str:
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join((f"the configuration has {count}:", *(f"  {text}" for text in problems)))
