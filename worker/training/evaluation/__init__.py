"""What a backbone can do, measured: probes, galleries and baselines -> `Evaluation`."""
