"""Evaluation of a backbone: probes, galleries and baselines -> `Evaluation`."""
