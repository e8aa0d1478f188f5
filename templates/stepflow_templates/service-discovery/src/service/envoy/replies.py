"""Envoy's own answers as problem+json (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from service.envoy.model import Json

_DETAILS = {
    400: "The request is not well formed.",
    401: "A valid token is needed.",
    403: "The token is not meant for this.",
    404: "Nothing is served at this path.",
    408: "The request did not arrive in time.",
    413: "The request's body is larger than the gateway takes.",
    426: "The request's protocol is not spoken here.",
    431: "The request's headers are larger than the gateway takes.",
    500: "The gateway failed.",
    502: "The service answered with something that is not HTTP.",
    503: "The service cannot be reached.",
    504: "The service did not answer in time.",
}
_FLAGS = {
    "UH": "No instance of the service is healthy.",
    "NC": "No instance of the service is running.",
    "UF": "No connection to the service.",
    "UO": "The service has as many requests as it takes: its circuit breaker is open.",
}
_RETRY = {503: "1", 504: "1"}
_AUTHORIZATION_SERVICE = "UAEX"


def local_replies() -> Json:
    """The table of answers; what the authorization service answers stays as it is."""
    by_flag = [_mapper(503, detail, {"response_flag_filter": {"flags": [flag]}}) for flag, detail in _FLAGS.items()]
    by_status = [_mapper(status, detail, _status_filter(status)) for status, detail in _DETAILS.items()]
    verbatim = {"filter": {"response_flag_filter": {"flags": [_AUTHORIZATION_SERVICE]}}}
    return {"mappers": [verbatim, *by_flag, *by_status]}


def _mapper(status: int, detail: str, condition: Json) -> Json:
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": "%PATH(NQ:ORIG_OR_PATH)%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    mapper: Json = {
        "filter": condition,
        "body_format_override": {"json_format": problem, "content_type": "application/problem+json"},
    }
    if status in _RETRY:
        mapper["headers_to_add"] = [{"header": {"key": "retry-after", "value": _RETRY[status]}}]
    return mapper


def _status_filter(status: int) -> Json:
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": "gateway.reply"}}
    return {"status_code_filter": {"comparison": comparison}}
