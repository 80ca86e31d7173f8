"""The codes of failures [H1]: the HTTP status of each, and the sentence where it is always the same."""

from collections.abc import Mapping
from types import MappingProxyType

CODES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "bad_request": (400, "The request cannot be understood"),
        "unauthorized": (401, "Send a credential: Authorization: Bearer ..."),
        "forbidden": (403, "The caller may not do this"),
        "not_found": (404, "There is no such path"),
        "order_not_found": (404, ""),
        "method_not_allowed": (405, "This path does not allow the method"),
        "idempotency_key_in_use": (409, "A request with this Idempotency-Key is still being worked on"),
        "body_too_large": (413, "The request is too large"),
        "request_line_too_large": (414, "The request line is too large"),
        "unsupported_media_type": (415, "Send the body as application/json"),
        "idempotency_key_reused": (422, "This Idempotency-Key was used with another body"),
        "head_too_large": (431, "The head of the request is too large"),
        "internal_error": (500, "The service made a mistake; it has been logged"),
        "database_away": (503, ""),
        "database_busy": (503, ""),
        "outcome_unknown": (503, ""),
        "service_busy": (503, "The service has more to do than it can; please try again"),
    }
)
"""Every code that is not a plain 400. Where the sentence is empty, the exception or the refusal has one."""

OF_STATUS: Mapping[int, str] = MappingProxyType(
    {
        404: "not_found",
        405: "method_not_allowed",
        413: "body_too_large",
        415: "unsupported_media_type",
        500: "internal_error",
    }
)
"""The code of what the router refuses, by HTTP status; `bad_request` for all others."""
