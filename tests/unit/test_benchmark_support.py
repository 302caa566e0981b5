"""What all benchmarks stand on: a missed target is named and is the exit status, figures keep all their values."""

import json
from pathlib import Path

import pytest

from benchmarks.support import Figure, Outcome, Table, Target, argument_parser, describe_machine, ratios, report

OURS, THEIRS = Figure((4.0, 2.0, 9.0)), Figure((2.0, 4.0, 3.0))


def test_a_figure_has_its_median_and_its_spread() -> None:
    assert (OURS.median, OURS.spread) == (4.0, (2.0, 9.0))
    assert OURS.shown(0) == "4 (2 to 9, n=3)"
    assert ratios(OURS, THEIRS).values == (2.0, 0.5, 3.0)


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("share", 0.5, at_least=0.5), True),
        (Target("share", 0.4, at_least=0.5), False),
        (Target("lost", 0.03, at_most=0.03), True),
        (Target("lost", 0.04, at_most=0.03), False),
    ],
)
def test_a_missed_target_is_named_and_is_the_exit_status_where_it_is_checked(
    target: Target, met: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "figures.json"
    outcome = Outcome([Table("Some", ["", "ours"], [["speed", OURS.shown()]])], [target], {"speed": OURS})
    machine = describe_machine(["pydantic", "no-such-package"])
    for flags, status in ([], 0), (["--check"], 0 if met else 1):
        arguments = argument_parser("").parse_args(["--json", str(file), *flags])
        assert report("some", machine, outcome, arguments) == status
        printed = capsys.readouterr()
        assert target.shown() in printed.out
        assert machine["commit"] in printed.out
        assert (target.name in printed.err) == (status == 1)
    written = json.loads(file.read_text())
    assert written["figures"]["speed"] == {"median": 4.0, "least": 2.0, "most": 9.0, "values": [4.0, 2.0, 9.0]}
    assert written["targets"][0]["met"] == met
    assert written["machine"]["packages"]["no-such-package"] == "absent"
