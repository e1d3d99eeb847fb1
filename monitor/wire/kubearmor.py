"""KubeArmor's alerts, logs and messages, as protobuf or as ProtoJSON → observations.

Field names are the proto's own (KubeArmor's wire facts). Text comes from untrusted processes: a
lone surrogate would later break an encoder, so it is replaced here.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from monitor.core.instants import seconds
from monitor.core.model import Alert, Log, Message
from monitor.wire.daemon_text import say
from monitor.wire.pb import feeder_pb2

LAST_SECOND = 253_402_300_799
"""The end of the year 9999, as far as RFC 3339 goes."""


class Fields(Protocol):
    """How a field is read, whatever the encoding: the proto's default where it is absent."""

    def text(self, name: str) -> str:
        """Return a string field."""
        ...

    def number(self, name: str) -> int:
        """Return an integer field."""
        ...


class ProtoFields:
    """Fields of a decoded protobuf message."""

    def __init__(self, message: Any) -> None:  # generated messages share no base type with fields
        self._message = message

    def text(self, name: str) -> str:
        return str(getattr(self._message, name))

    def number(self, name: str) -> int:
        return int(getattr(self._message, name))


class JsonFields:
    """Fields of canonical ProtoJSON: 64-bit integers as strings, defaults omitted."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = members

    def text(self, name: str) -> str:
        value = self._members.get(name, "")
        if not isinstance(value, str):
            raise ValueError(f"{name} is not a string")  # noqa: TRY004  # one error for bad input
        return value.encode("utf-8", "replace").decode()

    def number(self, name: str) -> int:
        return int(self._members.get(name, 0))


def alert(message: feeder_pb2.Alert, *, via: str) -> Alert:
    """Translate an alert; `via` is `relay` or `daemon:NODE`. Raises ValueError."""
    return _alert(ProtoFields(message), via=via)


def log(message: feeder_pb2.Log, *, via: str) -> Log:
    """Translate a log. Raises ValueError."""
    return _log(ProtoFields(message), via=via)


def message(message: feeder_pb2.Message, *, via: str) -> Message:
    """Translate a message. Raises ValueError."""
    return _message(ProtoFields(message), via=via)


def alert_from_json(members: Mapping[str, Any], *, via: str) -> Alert:
    """Translate an alert in ProtoJSON. Raises ValueError."""
    return _alert(JsonFields(members), via=via)


def log_from_json(members: Mapping[str, Any], *, via: str) -> Log:
    """Translate a log in ProtoJSON. Raises ValueError."""
    return _log(JsonFields(members), via=via)


def message_from_json(members: Mapping[str, Any], *, via: str) -> Message:
    """Translate a message in ProtoJSON. Raises ValueError."""
    return _message(JsonFields(members), via=via)


def _updated(fields: Fields) -> float:
    """Unix seconds at which the daemon handled the event: UpdatedTime, else Timestamp."""
    if text := fields.text("UpdatedTime"):
        return seconds(text)
    number = fields.number("Timestamp")
    if not 0 <= number <= LAST_SECOND:
        raise ValueError(f"Timestamp is no time: {number}")
    return float(number)


def _alert(fields: Fields, *, via: str) -> Alert:
    return Alert(
        via=via,
        host_name=fields.text("HostName"),
        namespace=fields.text("NamespaceName"),
        pod=fields.text("PodName"),
        container_id=fields.text("ContainerID"),
        container=fields.text("ContainerName"),
        policy=fields.text("PolicyName"),
        type=fields.text("Type"),
        operation=fields.text("Operation"),
        source=fields.text("Source"),
        resource=fields.text("Resource"),
        data=fields.text("Data"),
        action=fields.text("Action"),
        result=fields.text("Result"),
        enforcer=fields.text("Enforcer"),
        release=fields.text("KubeArmorVersion"),
        updated=_updated(fields),
        dropping_seconds=fields.number("DroppingAlertsInterval"),
    )


def _log(fields: Fields, *, via: str) -> Log:
    return Log(
        via=via,
        host_name=fields.text("HostName"),
        namespace=fields.text("NamespaceName"),
        pod=fields.text("PodName"),
        container_id=fields.text("ContainerID"),
        container=fields.text("ContainerName"),
        type=fields.text("Type"),
        operation=fields.text("Operation"),
        source=fields.text("Source"),
        resource=fields.text("Resource"),
        data=fields.text("Data"),
        result=fields.text("Result"),
        updated=_updated(fields),
    )


def _message(fields: Fields, *, via: str) -> Message:
    return Message(
        via=via,
        host_name=fields.text("HostName"),
        host_ip=fields.text("HostIP"),
        updated=_updated(fields),
        fact=say(fields.text("Message").rstrip(), level=fields.text("Level")),
    )
