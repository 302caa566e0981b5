"""The GPU path, checked and timed on a machine that has a GPU: `python -m benchmarks.gpu_check --out FOLDER`.

Each group of checks runs in a process of its own with a limit of its own. page.py writes what was found into
docs/performance.md.
"""
