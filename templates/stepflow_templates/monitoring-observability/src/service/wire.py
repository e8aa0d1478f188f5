"""OTLP over HTTP as bytes: protobuf or JSON, plain or gzip, within bounds (OTLP specification 1.x, "OTLP/HTTP")."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
MAX_BYTES = 16 * 1024 * 1024
"""Of a body after decompression."""
MAX_DEPTH = 40
_IDS = ("traceId", "spanId", "parentSpanId")
_INVALID_ARGUMENT, _UNAVAILABLE = 3, 14  # google.rpc.Code


class RefusedError(Exception):
    """A request that cannot be accepted: an HTTP status and the reason in words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def media_type(content_type: str) -> str:
    """Return the media type of a request; raises `RefusedError` 415 for one that is not OTLP's."""
    media = content_type.partition(";")[0].strip().lower()
    if media not in {PROTOBUF, JSON}:
        raise RefusedError(415, f"Content-Type `{media or 'none'}` is not supported: send {PROTOBUF} or {JSON}")
    return media


def decompress(body: bytes, encoding: str) -> bytes:
    """Undo the Content-Encoding; raises `RefusedError` for others than gzip, for damage, and beyond `MAX_BYTES`."""
    if encoding in {"", "identity"}:
        return body
    if encoding != "gzip":
        raise RefusedError(415, f"Content-Encoding `{encoding}` is not supported: send gzip or none")
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise RefusedError(400, f"the body is not gzip: {error}") from error
    if len(plain) > MAX_BYTES:
        raise RefusedError(413, f"the body is larger than {MAX_BYTES} bytes when decompressed")
    if not inflate.eof:
        raise RefusedError(400, "the gzip body ends too early")
    return plain


def parse(body: bytes, media: str, message: Message) -> None:
    """Fill the message from a body; raises `RefusedError` 400 with what is wrong."""
    try:
        if media == PROTOBUF:
            message.ParseFromString(body)
            return
        document = json.loads(body, object_hook=_hex_ids)
        if not isinstance(document, dict):
            raise RefusedError(400, f"the body must be a JSON object, not a {type(document).__name__}")
        ParseDict(document, message, ignore_unknown_fields=True, max_recursion_depth=MAX_DEPTH)
    except DecodeError as error:
        raise RefusedError(400, f"the body is not the protobuf message of this path: {error}") from error
    except (ParseError, ValueError, RecursionError, binascii.Error, TypeError) as error:
        raise RefusedError(400, f"the body is not the JSON message of this path: {error}"[:300]) from error


def answer(message: Message, media: str) -> bytes:
    """Write a response in the media type of its request."""
    return message.SerializeToString() if media == PROTOBUF else MessageToJson(message).encode()


def failure(status: int, text: str, media: str) -> bytes:
    """Write the `google.rpc.Status` that OTLP asks for in answers to failed requests."""
    code = _UNAVAILABLE if status in {429, 503} else _INVALID_ARGUMENT
    return answer(Status(code=code, message=text), media)


def _hex_ids(item: dict[str, Any]) -> dict[str, Any]:
    """OTLP's JSON has ids in hex where protobuf's JSON has bytes in base64."""
    for name in _IDS:
        value = item.get(name)
        if isinstance(value, str):
            item[name] = base64.b64encode(binascii.unhexlify(value)).decode()
    return item
