"""A fixed-seed CPU run against the losses in tests/golden/losses.json."""

import json
from pathlib import Path

import pytest

from tests.golden.update import LOSSES, golden_losses

TOLERANCE = 2e-3  # another CPU or PyTorch rounds otherwise; a changed method moves them far more


def test_losses_are_the_golden_ones(tmp_path: Path) -> None:
    golden, found = json.loads(LOSSES.read_text()), golden_losses(tmp_path)
    table = [f"{'':<16} {'golden train':>13} {'found':>13} {'golden val':>13} {'found':>13}"]
    for epoch in sorted(golden.keys() | found.keys()):
        numbers = [losses.get(epoch, {}).get(name) for name in ("train", "val") for losses in (golden, found)]
        table.append(f"{epoch:<16} " + " ".join(f"{number!s:>13.13}" for number in numbers))
    alike = golden.keys() == found.keys() and all(
        found[epoch] == pytest.approx(golden[epoch], rel=TOLERANCE) for epoch in golden
    )
    assert alike, "\n".join(["the losses moved (python -m tests.golden.update accepts them):", *table])
