"""Renders an evaluation as one self-contained HTML page without scripts or external files."""

from worker.training.evaluation.report.page import render_report

__all__ = ["render_report"]
