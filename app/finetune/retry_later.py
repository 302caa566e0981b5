"""RetryLater: the base of errors that pass by themselves. app/finetune/errors.py draws all errors."""

from app.finetune.errors import EdgefaceError


class RetryLater(EdgefaceError):
    """The same request may succeed after `seconds`, which the answer has as Retry-After."""

    code = "retry_later"

    def __init__(self, message: str, hint: str, seconds: int) -> None:
        super().__init__(message, hint)
        self.seconds = seconds
