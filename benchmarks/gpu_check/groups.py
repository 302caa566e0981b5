"""The groups of checks, in the order in which they run. Imports no torch.

The limits sum to more than the budget, as no group should need all of its own: if many do, the last groups do not run.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """`run` is a function as "module:name", which takes a `Check`. It gets at most `limit` seconds, and does not begin
    with fewer than `least` left of the whole. `title` is that of its table in docs/performance.md, None without one."""

    name: str
    run: str
    limit: float
    least: float = 15.0
    title: str | None = None

    @property
    def module(self) -> str:
        return self.run.partition(":")[0]


GROUPS = {
    group.name: group
    for group in (
        Group("machine", "benchmarks.gpu_check.machine:run", 30),
        Group(
            "correctness",
            "benchmarks.gpu_check.correctness:run",
            75,
            title="What a GPU computes beside the CPU in float32",
        ),
        Group("steps", "benchmarks.gpu_check.steps:run", 60, title="A step of stage 2 on a batch of 32 faces"),
        Group("job", "benchmarks.gpu_check.job:run", 120, 40, "The guide's job: 8,500 + 2,100 faces, DSR, 25 epochs"),
        Group("recovery", "benchmarks.gpu_check.recovery:run", 60, title="A job interrupted, and short of memory"),
        Group("dsr", "benchmarks.gpu_check.dsr:run", 30, title="Faces enlarged by DSR, from 16 px"),
        Group("peers", "benchmarks.gpu_check.peers:run", 90, 40, "Compared with a careful loop"),
        Group("compiled", "benchmarks.gpu_check.compiled:cold", 100, 40, "The same step, compiled"),
        Group("compiled again", "benchmarks.gpu_check.compiled:cached", 60, 20, "The same, from the compiler's cache"),
    )
}
