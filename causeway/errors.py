"""Every error Causeway raises on purpose: one root, four families, each telling the caller what to do.

    CausewayError
    ├── TryLaterError        the same call may succeed later: wait, then repeat it
    ├── InvalidInputError    the call is wrong as it stands: change it
    ├── NoAccessError        the caller is unknown or not allowed: sign in or ask for access
    └── OperatorError        the installation is broken: somebody who runs Causeway must act

The reference page ``docs/reference/errors.md`` is generated from this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Self


class CausewayError(Exception):
    """The root of every error that is raised on purpose; its message is safe to show to the caller."""

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    trace_id: str | None = None
    """The trace it happened in, set by the first span that it leaves."""

    retry_after_s: float | None = None
    """How long to wait before the same call can succeed, where that is known."""

    headers: Mapping[str, str] = MappingProxyType({})
    """What an HTTP answer tells about this error besides ``Retry-After``, such as the limits of its caller."""

    @property
    def message(self) -> str:
        """The sentence for the person who made the call: what happened, with the value, and the remedy."""
        return str(self)

    def after(self, seconds: float | None) -> Self:
        """This error, telling its caller to wait ``seconds``."""
        self.retry_after_s = seconds
        return self


class TryLaterError(CausewayError):
    """The same call may succeed later."""

    code = "try_later"
    http_status = 503
    retryable = True


class InvalidInputError(CausewayError):
    """The call is wrong as it stands and fails the same way when repeated."""

    code = "invalid_request"
    http_status = 400


class NoAccessError(CausewayError):
    """The caller is unknown, or known and not allowed."""

    code = "not_allowed"
    http_status = 403


class OperatorError(CausewayError):
    """The installation cannot do this until somebody who runs it acts."""

    code = "operator_needed"
    http_status = 500


# --- try later ---------------------------------------------------------------------------------------


class ModelUnavailableError(TryLaterError):
    """The model's server is starting, restarting or out of reach."""

    code = "model_unavailable"


class UpstreamError(TryLaterError):
    """A model provider answered with a failure of its own."""

    code = "upstream_error"
    http_status = 502


class UpstreamRateLimitError(TryLaterError):
    """A model provider asks for fewer calls."""

    code = "upstream_rate_limited"
    http_status = 429


class RateLimitedError(TryLaterError):
    """The caller's tier allows no further call, or no further tokens, at this moment."""

    code = "rate_limited"
    http_status = 429


class BudgetSpentError(TryLaterError):
    """A budget that the call would be paid from has too little left for it."""

    code = "budget_spent"
    http_status = 429
    retryable = False


class SharedStateUnavailableError(TryLaterError):
    """Redis cannot be reached, so limits and budgets cannot be checked, and no call is let through unchecked."""

    code = "shared_state_unavailable"


class DeadlineError(TryLaterError):
    """Something outside did not answer within its deadline."""

    code = "deadline_exceeded"
    http_status = 504


class BusyError(TryLaterError):
    """A bounded queue is full."""

    code = "busy"
    http_status = 503


class SlowClientError(TryLaterError):
    """The caller did not send its request's body in time."""

    code = "request_timeout"
    http_status = 408


# --- invalid input -----------------------------------------------------------------------------------


class NotFoundError(InvalidInputError):
    """Nothing of that name or id is there."""

    code = "not_found"
    http_status = 404


class WrongMethodError(InvalidInputError):
    """The address is right and the HTTP method is not."""

    code = "wrong_method"
    http_status = 405


class UnreadableBodyError(InvalidInputError):
    """A body is in a format or an encoding that is not read here."""

    code = "unsupported_media_type"
    http_status = 415


class UnknownModelError(InvalidInputError):
    """No model of that name is configured."""

    code = "model_not_found"
    http_status = 404


class ContextLengthError(InvalidInputError):
    """The messages and the reply asked for do not fit in the model's context window."""

    code = "context_length_exceeded"


class ContentBlockedError(InvalidInputError):
    """A guard refuses the content of a call: personal data, secrets or instructions that its tier forbids."""

    code = "content_blocked"


class TooLargeError(InvalidInputError):
    """A body or file is over its limit."""

    code = "too_large"
    http_status = 413


class StaleEditError(InvalidInputError):
    """What was edited has been changed by somebody else meanwhile."""

    code = "stale_edit"
    http_status = 409


class UnreadableDocumentError(InvalidInputError):
    """A file cannot be made searchable; the message tells its owner why."""

    code = "unreadable_document"
    http_status = 422


class EmptyDocumentError(UnreadableDocumentError):
    """A file has no text: there is nothing to search in it, and nothing of what it said before is kept."""

    code = "empty_document"


class RefusedAddressError(InvalidInputError):
    """An address may not be fetched: it is not http(s), not public, or written to mislead."""

    code = "refused_address"


class RefusedSqlError(InvalidInputError):
    """A query is not one that only reads what its asker is offered."""

    code = "sql_refused"
    http_status = 422


class QueryFailedError(InvalidInputError):
    """The database refuses a query, or it would take more than is allowed."""

    code = "query_failed"
    http_status = 422


class SettingsError(InvalidInputError):
    """A setting is unknown or has a value that cannot be used."""

    code = "invalid_setting"


# --- no access ---------------------------------------------------------------------------------------


class NotSignedInError(NoAccessError):
    """No key, or one that is unknown, expired or revoked."""

    code = "not_signed_in"
    http_status = 401


class NotAllowedError(NoAccessError):
    """The key is good but does not reach this far."""

    code = "not_allowed"


class ModelNotAllowedError(NoAccessError):
    """The key, or its tier, does not reach this model or endpoint."""

    code = "model_not_allowed"


# --- operator ----------------------------------------------------------------------------------------


class MissingModelFileError(OperatorError):
    """A local model's file is not on this machine."""

    code = "missing_model_file"
    http_status = 503


class WrongHashError(OperatorError):
    """A fetched file is not the one the catalogue names."""

    code = "wrong_hash"


class FetchError(OperatorError):
    """No source of a model file could be reached."""

    code = "fetch_failed"


class MissingCapabilityError(OperatorError):
    """An optional package or server extension that this call needs is not installed."""

    code = "missing_capability"
    http_status = 501


class GuardFailedError(OperatorError):
    """A guard broke, and the caller's tier lets nothing through unguarded."""

    code = "guard_failed"
    http_status = 503


class PortInUseError(OperatorError):
    """Another program listens on the port."""

    code = "port_in_use"


class AlreadyRunningError(OperatorError):
    """Another Causeway owns this data folder."""

    code = "already_running"


class DatabaseUnavailableError(OperatorError):
    """PostgreSQL cannot be started or reached."""

    code = "database_unavailable"
    http_status = 503


class DatabaseTooNewError(OperatorError):
    """The database was written by a newer Causeway."""

    code = "database_too_new"


class DiskFullError(OperatorError):
    """There is no room left where Causeway keeps its files."""

    code = "disk_full"
    http_status = 507


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of what a task group raises, the failure that cancelled its other tasks."""
    first = group.exceptions[0]
    return first_failure(first) if isinstance(first, BaseExceptionGroup) else first
