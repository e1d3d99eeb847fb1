"""From the bytes of the Kubernetes API to observations, in one pass.

A line of a watch or a page of a list is decoded straight into the values of `core.kubernetes`;
whatever they do not name is skipped without being built (two hundred times cheaper than the typed
models of a client library). What cannot be decoded so is looked at again, slowly: the objects that
are sound are kept, and each of the others is a `Flaw`.
"""

import re
from typing import Generic, Literal, NamedTuple, NoReturn, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from msgspec.json import Decoder

from monitor.core.kubernetes import TYPES, Metadata, Object, Resource
from monitor.core.model import Changed

T = TypeVar("T")

FlawReason: TypeAlias = Literal["malformed", "invalid", "too-deep", "text"]


class Undecodable(ValueError):
    """An input that is not what it should be.

    `reason`: `malformed` is no JSON (nothing is known about what it held), `invalid` lacks a field
    or has one of another type, `too-deep` nests deeper than the decoder goes, `text` holds bytes or
    surrogates that are no text (`sanitised` makes it decodable).
    """

    def __init__(self, reason: FlawReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: FlawReason = reason


class Flaw(NamedTuple):
    """Something in a list that could not be used, or (`text`) only after a repair."""

    reason: FlawReason
    detail: str


class Bookmark(Struct, frozen=True, gc=False):
    """How far a watch has come, without a change."""

    resource_version: str


class WatchError(Struct, frozen=True, gc=False):
    """An ERROR event: the watch is over."""

    code: int = 0
    reason: str = ""
    message: str = ""


class Page(Struct, frozen=True):
    """A page of a list; `continue_token` is empty on the last one."""

    resource_version: str
    continue_token: str
    items: tuple[Object, ...]
    flaws: tuple[Flaw, ...] = ()


class _Event(Struct, Generic[T], frozen=True):
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: T


class _Progress(Struct, frozen=True, rename="camel"):
    resource_version: str


class _Marked(Struct, frozen=True):
    metadata: _Progress


class _Signal(Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _ListMetadata(Struct, frozen=True, rename="camel"):
    resource_version: str
    continue_token: str = msgspec.field(default="", name="continue")


class _List(Struct, Generic[T], frozen=True):
    metadata: _ListMetadata
    items: list[T] | None = None


_EVENTS = {resource: Decoder(_Event[kind]) for resource, kind in TYPES.items()}  # type: ignore[valid-type]
_LISTS = {resource: Decoder(_List[kind]) for resource, kind in TYPES.items()}  # type: ignore[valid-type]
_OBJECTS = {resource: Decoder(kind) for resource, kind in TYPES.items()}
_SIGNAL = Decoder(_Signal)
_MARKED = Decoder(_Marked)
_ERROR = Decoder(WatchError)
_LIST_METADATA = Decoder(_ListMetadata)
_METADATA = Decoder(Metadata)

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
_KEY = re.compile(rb'\s*"([^"\\]*)"\s*:', re.DOTALL)
_SURROGATE = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


def decode_event(resource: Resource, line: bytes) -> Changed | Bookmark | WatchError:
    """Decode one line of a watch; raise `Undecodable`."""
    try:
        event = _EVENTS[resource].decode(line)
    except (msgspec.ValidationError, RecursionError) as error:
        if (rest := _signal(line) or _deletion(resource, line)) is not None:
            return rest
        _refuse(error, line)
    except ValueError as error:
        _refuse(error, line)
    return Changed(resource=resource, type=event.type, object=event.object)


def decode_object(resource: Resource, raw: bytes) -> Object:
    """Decode one object; raise `Undecodable`."""
    try:
        return _OBJECTS[resource].decode(raw)
    except (ValueError, RecursionError) as error:
        _refuse(error, raw)


def decode_list(resource: Resource, body: bytes) -> Page:
    """Decode a page of a list; raise `Undecodable` where it is no list at all.

    Objects that cannot be decoded are left out and named in `flaws`.
    """
    try:
        page = _LISTS[resource].decode(body)
    except (ValueError, RecursionError):
        return _decode_list_piecemeal(resource, body)
    return Page(
        resource_version=page.metadata.resource_version,
        continue_token=page.metadata.continue_token,
        items=tuple(page.items or ()),
    )


def sanitised(raw: bytes) -> bytes:
    """Return JSON in which what is no text (bad UTF-8, lone surrogates) is U+FFFD."""
    text = raw.decode(errors="replace").encode()
    return _SURROGATE.sub(lambda match: match[1] or rb"\ufffd", text)


def _signal(line: bytes) -> Bookmark | WatchError | None:
    try:
        signal = _SIGNAL.decode(line)
        if signal.type == "BOOKMARK":
            return Bookmark(_MARKED.decode(signal.object).metadata.resource_version)
        return _ERROR.decode(signal.object) if signal.type == "ERROR" else None
    except (ValueError, RecursionError):
        return None


def _deletion(resource: Resource, line: bytes) -> Changed | None:
    """Decode a deletion by its metadata alone: the rest of the object may be unusable."""
    try:
        members = _members(line)
        if members.get(b"type", b"").strip() != b'"DELETED"':
            return None
        metadata = _METADATA.decode(_members(members[b"object"])[b"metadata"])
    except (ValueError, RecursionError, KeyError):
        return None
    return Changed(resource=resource, type="DELETED", object=TYPES[resource](metadata=metadata))


def _refuse(error: Exception, raw: bytes) -> NoReturn:
    if isinstance(error, RecursionError):
        raise Undecodable("too-deep", "nested too deeply") from None
    if isinstance(error, msgspec.ValidationError):
        raise Undecodable("invalid", str(error)) from None
    reason: FlawReason = "malformed" if sanitised(raw) == raw else "text"
    raise Undecodable(reason, str(error)) from None


def _decode_list_piecemeal(resource: Resource, body: bytes) -> Page:
    members = _members(body)
    try:
        metadata = _LIST_METADATA.decode(members.get(b"metadata", b""))
    except (ValueError, RecursionError) as error:
        _refuse(error, members.get(b"metadata", b""))
    items: list[Object] = []
    flaws: list[Flaw] = []
    for piece in _pieces(members.get(b"items", b"[]")):
        try:
            items.append(_decode_repaired(resource, piece, flaws))
        except Undecodable as error:
            flaws.append(Flaw(error.reason, str(error)))
    return Page(
        resource_version=metadata.resource_version,
        continue_token=metadata.continue_token,
        items=tuple(items),
        flaws=tuple(flaws),
    )


def _decode_repaired(resource: Resource, raw: bytes, flaws: list[Flaw]) -> Object:
    try:
        return decode_object(resource, raw)
    except Undecodable as error:
        if error.reason != "text":
            raise
        repaired = decode_object(resource, sanitised(raw))
        flaws.append(Flaw("text", str(error)))
        return repaired


def _members(text: bytes) -> dict[bytes, bytes]:
    """Split an object into its members; their values stay undecoded."""
    members = {}
    for piece in _pieces(text):
        key = _KEY.match(piece)
        if key is None:
            raise Undecodable("malformed", "no JSON object")
        members[key[1]] = piece[key.end() :]
    return members


def _pieces(text: bytes) -> list[bytes]:
    """Split one object or array at its own commas, however deep its elements are nested."""
    if text.strip() == b"null":
        return []
    depth, start = 0, 0
    pieces: list[bytes] = []
    for token in _TOKEN.finditer(text):
        match token[0]:
            case b"{" | b"[":
                depth += 1
                start = token.end() if depth == 1 else start
            case b"}" | b"]":
                depth -= 1
                if depth == 0:
                    pieces.append(text[start : token.start()])
                    return [piece for piece in pieces if piece.strip()]
            case b"," if depth == 1:
                pieces.append(text[start : token.start()])
                start = token.end()
    raise Undecodable("malformed", "the document is not complete")
