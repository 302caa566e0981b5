"""Errors of requests that want more than the service gives. All errors are drawn in app/finetune/error_tree.py."""

from app.finetune.errors import Blame, EdgefaceError
from app.finetune.retry_later import RetryLater


class ChecksBusy(RetryLater):
    code = "checks_busy"

    def __init__(self, running: int, waiting: int, seconds: int) -> None:
        super().__init__(
            f"{running} checks run and {waiting} wait: this one has no place in the queue",
            f"send it again in {seconds} s; EDGEFACE_CHECKS_AT_ONCE and EDGEFACE_CHECKS_WAITING set both numbers",
            seconds,
        )


class TriesBusy(RetryLater):
    code = "tries_busy"

    def __init__(self, waiting: int, seconds: int) -> None:
        super().__init__(
            f"{waiting} requests with photos are being answered: this one has no place in the queue",
            f"send it again in {seconds} s",
            seconds,
        )


class TooManyRequests(RetryLater):
    code = "too_many_requests"
    blame: Blame = "request"

    def __init__(self, policy: str, most: int, window: int, seconds: int) -> None:
        super().__init__(
            f"more than {most} {policy} in {window} s",
            f"send the request again in {seconds} s; GET /jobs/{{id}}/events streams the news of a job in one request; "
            f"EDGEFACE_RATE_OF_{policy.upper()} sets the limit",
            seconds,
        )


class ClientGone(EdgefaceError):
    code = "client_gone"
    blame: Blame = "request"

    def __init__(self) -> None:
        super().__init__("the client closed the connection before its answer", "send the request again")


class BodyTooLarge(EdgefaceError):
    code = "body_too_large"
    blame: Blame = "request"

    def __init__(self, most: int, declared: int | None = None) -> None:
        has = f"more than {most} bytes" if declared is None else f"{declared} bytes; {most} is the most"
        super().__init__(
            f"the body of the request has {has}",
            "send the fields of the config alone; datasets and weights are named, not sent as JSON",
        )


class TargetTooLong(EdgefaceError):
    code = "uri_too_long"
    blame: Blame = "request"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"path and query of the request have more than {most} bytes",
            "shorten them; POST takes the fields of a config in its body",
        )


class HeadersTooLarge(EdgefaceError):
    code = "headers_too_large"
    blame: Blame = "request"

    def __init__(self, most: int) -> None:
        super().__init__(f"the headers of the request have more than {most} bytes", "send fewer or shorter headers")
