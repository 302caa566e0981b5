"""How the pages write figures, times and sizes: the filters of the templates."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from humanize import naturalsize
from markupsafe import Markup

from app.finetune.evaluation import Interval

MINUS = "\N{MINUS SIGN}"


def rate(value: float) -> str:
    """A rate in 0..1, with three digits."""
    return f"{value:.3f}"


def auc(value: float) -> str:
    """An AUC in 0..1, with four digits."""
    return f"{value:.4f}"


def signed(value: float, digits: int = 3) -> str:
    """A difference, with its sign."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def interval(found: Interval) -> str:
    """A 95 % interval of a rate, as in [0.871, 1.000]."""
    return f"[{found.low:.3f}, {found.high:.3f}]".replace("-", MINUS)


def signed_interval(found: Interval) -> str:
    """A 95 % interval of a difference, as in [+0.012, +0.278]."""
    return f"[{signed(found.low)}, {signed(found.high)}]"


def duration(seconds: float) -> str:
    """Seconds up to 90 s, minutes above, hours from 90 minutes on."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def duration_in_words(seconds: float) -> str:
    """As `duration`, for a sentence: `50 seconds`, `3 minutes`."""
    if seconds < 90:
        return _counted(max(1, round(seconds, -1) if seconds >= 20 else round(seconds)), "second")
    if seconds < 5400:
        return _counted(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"


def size(byte_count: int) -> str:
    """A size in kB or MB of 1000."""
    return naturalsize(byte_count, format="%.1f" if byte_count >= 1_000_000 else "%.0f")


def short_id(job_id: str) -> str:
    """The last six characters of an id: the first eight are its time, and equal for jobs sent together."""
    return job_id[-6:]


def moment(when: datetime | float) -> Markup:
    """A `time` element, which face.js writes anew in the reader's zone. A float is in seconds since 1970."""
    at = datetime.fromtimestamp(when, UTC) if isinstance(when, float | int) else when.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M UTC")
    )


def utc(seconds: float) -> str:
    """A time in seconds since 1970, as a `time` element wants it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def capitalized(text: str) -> str:
    """The text with its first letter large, and the others as they are."""
    return text[:1].upper() + text[1:]


def config_value(value: Any) -> str:
    """A value of a config as a person writes it: 1e-4, not 0.0001."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _short_float(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(config_value, value)) or "none"
    return str(value)


def _short_float(value: float) -> str:
    if value and abs(value) < 0.01:
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"


def _counted(number: float, word: str) -> str:
    return f"{number:.0f} {word}{'' if round(number) == 1 else 's'}"


FILTERS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        rate,
        auc,
        signed,
        interval,
        signed_interval,
        duration,
        duration_in_words,
        size,
        short_id,
        moment,
        utc,
        config_value,
        capitalized,
    )
}
