"""Real processes, killed at random points from a printed seed, while they run short real jobs.

`make chaos KILLS=200 SEED=1`: `harness.py` starts the services and kills, `process.py` is what the services run under,
`verdict.py` compares what is left with an undisturbed run.
"""
