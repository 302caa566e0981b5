"""Steps by CUDA graphs, where they compute what eager steps compute."""

from functools import partial

from app.finetune.events import Report, Stage, StepChosen, StepWay, Warned
from app.finetune.job_warning import JobWarning
from worker.training.data.loader import Batch
from worker.training.loop.compiled_backbone import Compiling
from worker.training.loop.graphed_step import Captures, Check, Gradients, GraphedStep, described
from worker.training.loop.step import ForwardBackward
from worker.training.objectives.objective import Loss
from worker.training.runtime.device_errors import lacks_kernel
from worker.training.runtime.out_of_memory import release_memory, unless_out_of_memory
from worker.training.runtime.profiling import profiled

CHECKED_EPOCHS = 2
"""A graph is checked at its first batch of so many epochs."""

_NOT_FINITE = Check(replayed=float("inf"), eager=float("inf"), is_finite=False)


class ComputesOtherwise(Exception):
    """The compiled backbone rounds worse than the uncompiled one."""


class GraphedForwardBackward:
    """As `ForwardBackward` on a GPU, by one CUDA graph for each size of batch, all in one pool of memory.

    A graph is checked on the batch that it is captured for, before any weight changes, and at its first batch of the
    next epoch. Where it is wrong, cannot be captured or does not fit the memory, this and all further batches are
    computed eagerly; so are batches that are split into microbatches. After a capture that failed, all stages with the
    same `captures` are computed eagerly. Where `compiling` allows it, the graph has the compiled backbone, which is
    compared before it is captured; a fault of it costs the compiled backbone alone, but for a capture that fails.
    `report` hears what was chosen, and why.
    """

    def __init__(
        self, report: Report, stage: Stage, captures: Captures, *, scaled: bool, compiling: Compiling | None = None
    ) -> None:
        self._report = report
        self._stage = stage
        self._captures = captures
        self._compiling = compiling
        self._compiled = set[int]()
        self._compiled_reason = "EDGEFACE_COMPILE is off" if stage == 2 and compiling is None else ""
        self._refused = "fp16 scales the loss" if scaled else None
        self._graphs: dict[int, GraphedStep] = {}
        self._checks: dict[int, int] = {}
        self._due = set[int]()
        self._memory: list[int] = []
        self._way: tuple[StepWay, bool] | None = None

    def start_epoch(self, eager: ForwardBackward) -> "GraphedForwardBackward":
        """`eager` has the same networks and optimizers in each epoch. Parameters that were moved, as into another
        layout, need new graphs."""
        self._eager = eager
        memory = [parameter.data_ptr() for parameter in eager.optimizers.parameters]
        if memory != self._memory:
            self._drop_graphs()
            self._memory = memory
        self._due = {size for size, checks in self._checks.items() if checks < CHECKED_EPOCHS}
        return self

    def __call__(self, batch: Batch) -> list[Loss]:
        """Set `grad` of the parameters, which is None, to the gradients of `batch`. The losses hold until the next
        call."""
        graph = self._graph_for(batch)
        if graph is None:
            return self._eager(batch)
        with profiled("forward and backward"):
            return [graph(batch)]

    def _graph_for(self, batch: Batch) -> GraphedStep | None:
        size = len(batch)
        if size in self._graphs and size not in self._due:
            return self._graphs[size]
        if self._refused is None and self._eager.micro_batch_size < size:
            self._refuse(f"batches are split into microbatches of {self._eager.micro_batch_size}")
        if self._refused is None and self._captures.failure is not None:
            self._refuse(f"a capture of this process failed: {self._captures.failure}")
        if self._refused is not None:
            self._choose("eager", self._refused)
            return None
        failure = None
        try:
            check = unless_out_of_memory(partial(self._check, batch))
        except Exception as error:  # whatever the driver, a library or PyTorch raises: an eager step needs no capture
            if lacks_kernel(error):
                raise  # The loop changes the layout and comes again.
            failure = described(error)
        if failure is not None:  # past the except block, where the tensors of the capture are free
            return self._without(batch, failure, warn=True)
        if check is None:
            return self._without(batch, "the GPU has not enough memory for a graph")
        if not check.is_finite:
            return None  # The loss of the eager step says it.
        if not check.is_right:
            return self._without(batch, f"a replay {_described(check)}", warn=True)
        self._checks[size] = self._checks.get(size, 0) + 1
        self._due.discard(size)
        self._choose("graph", f"a replay {_described(check)}")
        return self._graphs[size]

    def _check(self, batch: Batch) -> Check:
        size, parameters = len(batch), self._eager.optimizers.parameters
        if size not in self._graphs:
            pool = next((graph.pool for graph in self._graphs.values()), None)
            gradients: Gradients = self._eager.gradients
            if self._compiling is not None and self._may_compile(self._compiling, size):
                found = self._compiling.compare(batch, gradients)
                if not found.is_finite:
                    return _NOT_FINITE
                if not found.is_right:
                    raise ComputesOtherwise(str(found))
                gradients, self._compiled_reason = self._compiling.gradients, str(found)
            self._graphs[size] = GraphedStep(gradients, parameters, batch, pool, self._captures)
            self._due.add(size)
        return self._graphs[size].check(batch)

    def _may_compile(self, compiling: Compiling, size: int) -> bool:
        self._compiled.discard(size)  # the layout may have changed since
        why_not = compiling.why_not(size)
        if why_not is None:
            self._compiled.add(size)
        elif not self._compiled:
            self._compiled_reason = why_not
        return why_not is None

    def _without(self, batch: Batch, reason: str, *, warn: bool = False) -> GraphedStep | None:
        """The graph for `batch` without what failed: the compiled backbone, or else graphs at all."""
        if len(batch) not in self._compiled:
            self._refuse(reason, warn=warn)
            return None
        self._compiling, self._compiled_reason = None, reason
        self._drop_graphs()
        release_memory()
        if warn:
            message = (
                f"stage {self._stage} trains without the compiled backbone: {reason}; run "
                "`edgeface-finetune compile` again, or set EDGEFACE_COMPILE=false"
            )
            self._report(Warned(JobWarning(code="compiled_not_used", message=message)))
        return self._graph_for(batch)

    def _refuse(self, reason: str, *, warn: bool = False) -> None:
        self._refused, self._compiled_reason = reason, ""
        self._drop_graphs()
        release_memory()
        self._choose("eager", reason)
        if warn:
            rest = ", and so do all later stages" if self._captures.failure is not None else ""
            message = (
                f"stage {self._stage} trains without CUDA graphs{rest}, and computes the same: {reason}; run "
                "`edgeface-finetune doctor --gpu` on the worker's machine, and report this if it finds nothing"
            )
            self._report(Warned(JobWarning(code="graph_not_used", message=message)))

    def _drop_graphs(self) -> None:
        self._graphs.clear()
        self._checks.clear()
        self._compiled.clear()

    def _choose(self, way: StepWay, reason: str) -> None:
        compiled = bool(self._compiled)
        if (way, compiled) != self._way:
            self._way = way, compiled
            self._report(StepChosen(self._stage, way, reason, compiled, self._compiled_reason))


def _described(check: Check) -> str:
    return f"differs from an eager step by {check.replayed:.1e}, and two eager steps by {check.eager:.1e}"
