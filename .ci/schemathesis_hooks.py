"""What schemathesis must know of the service beyond the contract."""

import itertools
import os

import schemathesis
from schemathesis.core.parameters import ParameterLocation

# The user and the token that the run itself works with.
OWN = set(os.environ.get("SLIPWAY_TEST_OWN_IDS", "").split())

KEYS = itertools.count(1)

# Rows of imports are text, as far as a body goes.
ROWS = ["application/x-ndjson", "text/csv"]
schemathesis.serializer.alias(ROWS, "text/plain")

# Faults of form: a schema can say them, so the published one must.
FORM = {
    "BLANK",
    "EMPTY_BODY",
    "EMPTY_PATCH",
    "INVALID_CHARACTER",
    "INVALID_CURSOR",
    "INVALID_FORMAT",
    "INVALID_HEADER",
    "INVALID_JSON",
    "INVALID_PARAMETER",
    "INVALID_VALUE",
    "NOT_ALLOWED",
    "OUT_OF_RANGE",
    "READ_ONLY_FIELD",
    "REPEATED_PARAMETER",
    "TOO_DEEP",
    "TOO_LONG",
    "TOO_SHORT",
    "UNEXPECTED_BODY",
    "UNKNOWN_FIELD",
    "UNKNOWN_PARAMETER",
    "WRONG_TYPE",
}


def is_valid(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def filter_case(context, case):
    """Leaves out what would take the run's own user or token away: all that follows would be 401.

    And rows of a wrong type, such as a number: once sent they are text, as right ones are.
    """
    if case.media_type in ROWS and case.meta and case.meta.is_negative_at(ParameterLocation.BODY):
        return False
    return case.method.upper() == "GET" or not OWN & {str(value) for value in (case.path_parameters or {}).values()}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Gives valid requests what only a run can know.

    A cursor is made by the service alone, for one list, filter and sort: without one the first page is asked for.
    An idempotency key belongs to one request: another request with it is rightly refused.
    And schemathesis 4.32 puts a bare number into optional headers of what it holds to be its default valid case.
    """
    if not is_valid(case):
        return
    for name in ("If-Match", "If-None-Match"):
        if case.headers and str(case.headers.get(name, "*")).isdecimal():
            case.headers.pop(name)
    if case.query:
        case.query.pop("cursor", None)
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"contract-{next(KEYS)}"


@schemathesis.check
def a_form_that_is_published_is_taken(context, response, case):
    """A request that the schema allows is refused for what it says, never for its form."""
    if not is_valid(case) or response.status_code not in (400, 422):
        return
    faults = [fault for fault in response.json()["errors"] if fault["code"] in FORM]
    assert not faults, f"the schema allows what is refused: {faults}"
