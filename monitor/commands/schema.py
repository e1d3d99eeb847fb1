"""The JSON Schema of what is published: the events, the report, and explanations."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import orjson
from msgspec import Struct

from monitor.core.explanation import ContainerExplanation, NodeExplanation
from monitor.core.model import (
    ContainerTiming,
    CoverageState,
    Finding,
    Gap,
    Incident,
    PolicySetState,
    PolicyTiming,
    ProofTiming,
    Report,
    SourceState,
)
from monitor.wire.report import INSTANTS, INTERVALS

EXAMPLES = """\
examples:
  kubearmor-monitor schema
  kubearmor-monitor schema events > events.schema.json
  kubearmor-monitor schema report > report.schema.json
  kubearmor-monitor schema explanation > explanation.schema.json
  kubearmor-monitor schema node-explanation > node-explanation.schema.json

`events` describes the structured CloudEvents of JSON lines and replay --events; in Kafka the same
attributes are headers and `data` is the body. `explanation` describes what explain --output json
prints, and the containers of the API's answer; `node-explanation` what explain --node prints.
Within v1 members are only added.
"""
DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFINITIONS = "#/$defs/{name}"
EVENTS: Mapping[str, type[Struct]] = {
    "gap": Gap,
    "incident": Incident,
    "finding": Finding,
    "container-timing": ContainerTiming,
    "policy-timing": PolicyTiming,
    "proof-timing": ProofTiming,
    "coverage": CoverageState,
    "policy-set": PolicySetState,
    "source": SourceState,
}
SPELLED_OUT = INSTANTS | INTERVALS
INSTANT = {"type": "string", "format": "date-time"}
TEXT = {"type": "string"}


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("part", nargs="?", choices=tuple(PARTS), help="without: all")


def run(options: Namespace) -> int:
    if options.part:
        document: Any = PARTS[options.part]()
    else:
        document = {name: make() for name, make in PARTS.items()}
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    return 0


def report() -> dict[str, Any]:
    """Return the schema of a report."""
    (reference,), definitions = _definitions(Report)
    return {"$schema": DIALECT, "title": "report", **reference, "$defs": definitions}


def explanation() -> dict[str, Any]:
    """Return the schema of the explained containers of a Pod."""
    (reference,), definitions = _definitions(ContainerExplanation)
    described = {"type": "array", "items": reference}
    return {"$schema": DIALECT, "title": "explanation", **described, "$defs": definitions}


def node_explanation() -> dict[str, Any]:
    """Return the schema of an explained node."""
    (reference,), definitions = _definitions(NodeExplanation)
    return {"$schema": DIALECT, "title": "node explanation", **reference, "$defs": definitions}


def events() -> dict[str, Any]:
    """Return the schema of a structured CloudEvent of any type."""
    references, definitions = _definitions(*EVENTS.values())
    data = dict(zip(EVENTS, references, strict=True))
    data["coverage"] = {"anyOf": [data["coverage"], {"type": "null"}]}
    envelopes = [_envelope(name, described) for name, described in data.items()]
    return {"$schema": DIALECT, "title": "event", "oneOf": envelopes, "$defs": definitions}


def _envelope(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    members: dict[str, Any] = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "source": TEXT,
        "type": {"const": f"kubearmor-monitor.{name}.v1"},
        "subject": TEXT,
        "partitionkey": TEXT,
        "topic": TEXT,
        "datacontenttype": {"const": "application/json"},
        "data": data,
    }
    return {"type": "object", "properties": members, "required": list(members)}


def _definitions(*kinds: type[Struct]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    references, components = msgspec.json.schema_components(kinds, ref_template=DEFINITIONS)
    for component in components.values():
        for name, member in component.get("properties", {}).items():
            if name in SPELLED_OUT:
                component["properties"][name] = _spelled_out(member)
    return list(references), dict(components)


def _spelled_out(member: Any) -> Any:
    """Return the schema with strings in RFC 3339 for Unix seconds."""
    if isinstance(member, list):
        return [_spelled_out(part) for part in member]
    if not isinstance(member, dict):
        return member
    if member.get("type") == "number":
        return INSTANT
    return {name: _spelled_out(part) for name, part in member.items()}


PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "events": events,
    "report": report,
    "explanation": explanation,
    "node-explanation": node_explanation,
}
