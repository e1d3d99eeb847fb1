"""Remarks as SARIF 2.1.0, the format in which code hosting takes what an analysis has found."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from monitor.commands.remarks import Json, Located, rewrite_title, rewrite_yaml
from monitor.core.identity import digest
from monitor.core.lint.remarks import TOPICS, Code, dotted

PROGRAM = "kubearmor-monitor"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT = "kubearmorMonitor/v1"
RULES: tuple[Code, ...] = tuple(TOPICS)


def sarif(found: Sequence[Located]) -> Json:
    """Return the log of one run: the tool, its rules with their help, and a result per remark."""
    driver = {
        "name": PROGRAM,
        "semanticVersion": version(PROGRAM),
        "rules": [_rule(code) for code in RULES],
    }
    alike: Counter[str] = Counter()
    results = [_result(one, alike) for one in found]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: Code) -> Json:
    topic = TOPICS[code]
    return {
        "id": code,
        "shortDescription": {"text": topic.title},
        "fullDescription": {"text": topic.text},
        "help": {"text": topic.text, "markdown": topic.text},
        "properties": {"tags": ["security", "kubernetes"]},
    }


def _result(one: Located, alike: Counter[str]) -> Json:
    """A result; its fingerprint holds no line, so that it survives an edit above it."""
    remark = one.remark
    identity = digest(remark.code, *remark.policy.key, dotted(remark.path))
    alike[identity] += 1
    return {
        "ruleId": remark.code,
        "ruleIndex": RULES.index(remark.code),
        "level": remark.severity,
        "message": {"text": _message(one)},
        "locations": [_location(one)],
        "partialFingerprints": {FINGERPRINT: f"{identity}:{alike[identity]}"},
    }


def _message(one: Located) -> str:
    remark = one.remark
    text = f"{remark.policy.title}: {remark.reason}"
    if remark.rewrite is None:
        return text
    return f"{text}\n{rewrite_title(remark.rewrite)}\n{rewrite_yaml(remark.rewrite)}"


def _location(one: Located) -> Json:
    remark = one.remark
    name = f"{remark.policy.title.replace(' ', '/')}#{dotted(remark.path)}"
    location: Json = {"logicalLocations": [{"fullyQualifiedName": name, "kind": "resource"}]}
    if one.file:
        location["physicalLocation"] = {
            "artifactLocation": {"uri": _uri(one.file)},
            "region": {"startLine": one.line},
        }
    return location


def _uri(file: str) -> str:
    """A relative file stays relative: whoever shows the results knows the folder."""
    path = Path(file)
    if path.is_absolute():
        return path.as_uri()
    return "stdin" if file == "-" else quote(path.as_posix())
