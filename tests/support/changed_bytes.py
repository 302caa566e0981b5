"""Bytes changed at random, for fuzzing."""

from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

Changes = list[tuple[float, str, bytes]]
"""Of each change: where it is, as a share of the bytes; `put`, `insert`, `cut` or `repeat`; and what is put there."""

FUZZED = settings(
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def changes_of(pieces: Sequence[bytes]) -> st.SearchStrategy[Changes]:
    """Return up to six changes, which use these pieces and random ones."""
    piece = st.one_of(st.sampled_from(pieces), st.binary(max_size=16))
    kinds = st.sampled_from(["put", "insert", "cut", "repeat"])
    return st.lists(st.tuples(st.floats(0, 1), kinds, piece), max_size=6)


def changed(data: bytes, changes: Changes) -> bytes:
    for share, kind, piece in changes:
        at = int(share * len(data))
        match kind:
            case "put":
                data = data[:at] + piece + data[at + len(piece) :]
            case "insert":
                data = data[:at] + piece + data[at:]
            case "cut":
                data = data[:at] + data[at + 1 + len(piece) :]
            case _:
                data = data[:at] + data[max(0, at - 64) : at] * 4 + data[at:]
    return data
