"""The progress of a job at the terminal: nobody takes a long phase for a hang."""

import io

import pytest
from rich.console import Console

from app.cli.live_progress import SILENT_SECONDS, LiveProgress, place_in_words
from app.finetune.events import PhaseStarted, Progressed, StageStarted


class Terminal:
    """A file, or a terminal of the same content, by a clock that the test sets."""

    def __init__(self, *, is_terminal: bool = False) -> None:
        self.seconds = 0.0
        self.file = io.StringIO()
        console = Console(file=self.file, force_terminal=is_terminal, width=100)
        self.live = LiveProgress(console, now=lambda: self.seconds)

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()

    def tick(self, seconds: float) -> None:
        self.seconds += seconds
        self.live.tick()


def test_a_file_gets_the_progress_whenever_it_got_nothing_for_some_seconds() -> None:
    terminal = Terminal()
    terminal.live.show(PhaseStarted("teacher_targets"))
    terminal.live.show(Progressed(0.1, 70.0, None, None, phase="teacher_targets", phase_progress=0.0))
    terminal.tick(SILENT_SECONDS - 1)
    assert len(terminal.lines) == 1
    terminal.tick(1)
    assert terminal.lines[1:] == ["  ... teacher targets 10%, 1 minute and 10 seconds left"]
    terminal.tick(1)
    terminal.live.show(StageStarted(2, 60, "arcface", 24))
    terminal.tick(SILENT_SECONDS - 1)
    assert len(terminal.lines) == 4
    terminal.live.show(Progressed(0.5, None, 2, 7, phase="stage_2", phase_progress=0.1))
    terminal.tick(1)
    assert terminal.lines[-1] == "  ... stage 2 epoch 7 50%"


def test_a_terminal_gets_a_bar_below_the_lines() -> None:
    terminal = Terminal(is_terminal=True)
    with terminal.live as live:
        live.show(Progressed(0.25, 12.0, 2, 7, phase="stage_2", phase_progress=0.1))
        live.print("TAR [0.875, 1.000] of [bold]faces")
    assert "TAR [0.875, 1.000] of [bold]faces" in terminal.file.getvalue()
    assert "25%" in terminal.file.getvalue()
    assert "..." not in terminal.file.getvalue()


@pytest.mark.parametrize(
    ("phase", "stage", "epoch", "words"),
    [
        ("checking", None, None, "checking"),
        ("stage_2", 2, 7, "stage 2 epoch 7"),
        ("stage_2", 2, None, "stage 2"),
        ("evaluating", 2, 20, "evaluating"),
        ("a_later_one", 2, 20, "a later one"),
        (None, 1, 3, "stage 1 epoch 3"),
        (None, None, None, None),
    ],
)
def test_where_a_job_is(phase: str | None, stage: int | None, epoch: int | None, words: str | None) -> None:
    assert place_in_words(phase, stage, epoch) == words
