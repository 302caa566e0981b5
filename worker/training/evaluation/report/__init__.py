"""An evaluation as one self-contained HTML page: no script, no network, every picture inside it."""

from worker.training.evaluation.report.page import render_report

__all__ = ["render_report"]
