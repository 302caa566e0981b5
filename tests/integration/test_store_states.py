"""app/jobs/fence.py against a model of it in plain Python: whatever happens, in whatever order, no job is lost.

Each step is one transaction, so that every worker can die between any two. The model says what the rows must be after
each; a write that it refuses must leave every row as it was.
"""

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import Session, SQLModel, col, delete, select, update

from app.api_models.events import WaitingNoted
from app.database import Database
from app.finetune.checkpoint import Checkpoint, Stage
from app.finetune.dataset import JobWarning
from app.finetune.events import EvaluationStarted, Progressed
from app.jobs import queries
from app.jobs.attempt_errors import LeaseLost
from app.jobs.errors import IdempotencyKeyReused, NotPausable, NotPaused, NotRetryable, StatesGone
from app.jobs.resume import ResumePoint
from app.jobs.states import CLAIMED, NEXT, RETRYABLE, TERMINAL, JobStatus
from app.jobs.tables import Artifact, Attempt, EpochMetric, Job, JobEvent, JobLogLine
from app.jobs.transitions import attempts, recording, rounds, submission, wishes
from app.jobs.transitions.attempts import LossPolicy
from app.jobs.transitions.fence import Claim
from tests.integration.conftest import (
    CONFIG,
    LEASE_SECONDS,
    LOST,
    STEPS_PER_EPOCH,
    checkpoint_of,
    let_backoff_pass,
    metrics_of,
    run_out_lease,
    state_of,
)

MAX_LOSSES = 3
EPOCHS = {1: 2, 2: 3}
OPEN = frozenset(JobStatus) - TERMINAL
PAUSABLE = frozenset({JobStatus.QUEUED, JobStatus.PREPARING, JobStatus.RUNNING})
TABLES: list[type[SQLModel]] = [JobLogLine, JobEvent, EpochMetric, Artifact, Attempt, Job]
"""Those that refer to others first."""

_Option = TypeVar("_Option")
_Row = TypeVar("_Row", Artifact, Attempt, JobEvent)


class _Crash(Exception):
    """The worker died before its transaction was committed."""


@dataclass
class Training:
    """Where the trainer of one attempt stands: `epoch` epochs of `stage` finished and `step` steps of the next."""

    stage: Stage = 1
    epoch: int = 0
    step: int = 0
    checkpoint: Checkpoint | None = None

    @property
    def steps_done(self) -> int:
        return (self.epoch + (EPOCHS[1] if self.stage == 2 else 0)) * STEPS_PER_EPOCH + self.step

    @property
    def reached(self) -> tuple[int, int]:
        return self.stage, self.epoch

    @property
    def over(self) -> bool:
        return self.stage == 2 and self.epoch == EPOCHS[2]

    def finish_epoch(self) -> None:
        if self.stage == 1 and self.epoch == EPOCHS[1]:
            self.stage, self.epoch = 2, 0
        self.epoch, self.step = self.epoch + 1, 0


@dataclass
class ModelState:
    key: str
    training: Training
    attempt: int


@dataclass
class ModelJob:
    """What the rows of a job must say."""

    id: str
    priority: int
    queued_at: float
    status: JobStatus = JobStatus.QUEUED
    attempt: int = 0
    holder: Claim | None = None
    lease_holds: bool = False
    due: bool = True
    losses: int = 0
    training: Training | None = None
    """None until the attempt began."""
    metrics: dict[tuple[int, int], int] = field(default_factory=dict)
    states: list[ModelState] = field(default_factory=list)
    """Newest first."""
    checkpoint: Checkpoint | None = None
    files: dict[str, bool] = field(default_factory=dict)
    """The keys of checkpoints' files, and whether they are pinned."""
    warnings: list[str] = field(default_factory=list)
    steps_heard: dict[int, int] = field(default_factory=dict)
    """How far each attempt got since a person's retry."""
    steps_of_begun: list[int | None] = field(default_factory=list)
    """How far each attempt got that began to train; None for one that did not."""
    messages: int = 0
    statuses: list[JobStatus] = field(default_factory=lambda: [JobStatus.QUEUED])
    """Every one that it has had, in order."""

    def turn(self, status: JobStatus) -> None:
        self.status = status
        self.statuses.append(status)
        if status is JobStatus.PREPARING:
            self.steps_of_begun.append(None)
        if status not in CLAIMED:
            self.holder, self.lease_holds, self.training = None, False, None
        if status is not JobStatus.QUEUED:
            self.due = True

    def cut(self, point: ModelState | None) -> None:
        reached = (0, 0) if point is None else point.training.reached
        self.metrics = {key: attempt for key, attempt in self.metrics.items() if key <= reached}
        self.states = [] if point is None else self.states[self.states.index(point) :]
        self.checkpoint = None if point is None else point.training.checkpoint
        kept = file_keys(self.checkpoint)
        self.files = {key: pinned for key, pinned in self.files.items() if pinned or key in kept}


def file_keys(checkpoint: Checkpoint | None) -> set[str]:
    return set() if checkpoint is None else {file.key for file in checkpoint.files}


def one_of(options: list[_Option], pick: int) -> _Option:
    return options[pick % len(options)]


def _policy(backoff: bool) -> LossPolicy:
    return LossPolicy(MAX_LOSSES, 1000.0 if backoff else 0.0)


picks = st.integers(0, 11)
workers = st.sampled_from(["worker-1", "worker-2", "worker-3"])

WRITES: dict[str, Callable[[Session, Claim], object]] = {
    "renew": lambda session, claim: attempts.renew_lease(session, claim, LEASE_SECONDS),
    "begin": lambda session, claim: attempts.begin_attempt(session, claim, None),
    "once": lambda session, claim: recording.record_once(session, claim, 1000),
    "running": lambda session, claim: recording.record_running(session, claim, EvaluationStarted("cpu")),
    "progress": lambda session, claim: recording.record_progress(
        session, claim, Progressed(progress=0.99, eta_seconds=1.0, stage=2, epoch=9, step=9, steps_done=999)
    ),
    "epoch": lambda session, claim: recording.record_epoch(session, claim, metrics_of(2, 9)),
    "checkpoint": lambda session, claim: recording.record_checkpoint(session, claim, checkpoint_of(claim, 9)),
    "state": lambda session, claim: recording.record_state(session, claim, state_of(claim, 2, 9, 9, None)),
    "warning": lambda session, claim: recording.record_warning(session, claim, JobWarning(code="late", message="late")),
    "event": lambda session, claim: recording.record_event(session, claim, WaitingNoted(reason="late"), stage=9),
    "succeed": lambda session, claim: attempts.finish(session, claim, JobStatus.SUCCEEDED, verdict="late"),
    "fail": lambda session, claim: attempts.finish(session, claim, JobStatus.FAILED, LOST),
    "cancel": lambda session, claim: attempts.finish(session, claim, JobStatus.CANCELLED),
    "hand back": lambda session, claim: attempts.hand_back(session, claim, "late"),
    "lose trainer": lambda session, claim: attempts.lose_trainer(session, claim, LOST, LossPolicy(MAX_LOSSES)),
}

WISHES: dict[str, tuple[Callable[[Session, str], object], frozenset[JobStatus], frozenset[JobStatus], type[Exception]]]
WISHES = {
    "pause": (wishes.request_pause, PAUSABLE, frozenset({JobStatus.PAUSED, JobStatus.PAUSING}), NotPausable),
    "resume": (wishes.resume, frozenset({JobStatus.PAUSED}), PAUSABLE, NotPaused),
    "retry": (wishes.retry, RETRYABLE, frozenset(), NotRetryable),
}
"""How to ask, the states in which that changes something, those in which it is so already, and else the refusal."""


PHASES = [Phase.generate, *([Phase.shrink] if os.environ.get("EDGEFACE_TEST_SHRINK") else [])]
"""Making a failure short takes minutes, more than a test may take: EDGEFACE_TEST_SHRINK=1 and `--timeout 0` do it."""

MUST_BE_SEEN = {"checkpoint", "epoch", "forgiven", "old ground", "pinned", "poison", "refused write"} | {
    "began from the start",
    "went on from a state",
    "cancelled -> queued",
    "paused -> queued",
    "pausing -> paused",
    "running -> queued",
}
"""Else the rules have come to fall through, and the test shows nothing."""


class StoreMachine(RuleBasedStateMachine):
    """Each rule picks one of the jobs that it can do something to: a step that does nothing shows nothing."""

    def __init__(self, database: Database, seen: Counter[str]) -> None:
        super().__init__()
        self.database = database
        self.seen = seen
        self.model: dict[str, ModelJob] = {}
        self.claims: list[Claim] = []
        self.keys: dict[str, tuple[str, int]] = {}

    @initialize(trained=st.integers(0, 4))
    def begin_with_a_training(self, trained: int) -> None:
        with self.database.writing() as session:
            for table in TABLES:
                session.execute(delete(table))
        for priority in (0, 5):
            self.submit(priority, None)
        self.claim_next("worker-1", 0)
        self.record_running(0)
        if trained:
            self.train_epochs(0, trained, save=True)
        if trained > 2:
            self.write_checkpoint(0, pinned=trained == 4)

    # --- persons

    @precondition(lambda self: len(self.model) < 5 and len(self.in_states(OPEN)) < 3)
    @rule(priority=st.sampled_from([0, 0, 5]), key=st.sampled_from([None, "key-1", "key-2"]))
    def submit(self, priority: int, key: str | None) -> None:
        if key in self.keys:
            job_id, first_priority = self.keys[key]
            refusal = _raises(IdempotencyKeyReused) if priority != first_priority else contextlib.nullcontext()
            with refusal, self.database.reading() as session:
                found = submission.find_repeated(session, key, CONFIG, priority=priority)
                assert found is not None
                assert found.id == job_id
            return
        with self.database.writing() as session:
            job = submission.submit(session, CONFIG, [], priority=priority, idempotency_key=key)
        if key is not None:
            self.keys[key] = (job.id, priority)
        self.model[job.id] = ModelJob(job.id, priority, 0.0)
        self.learn_place(self.model[job.id])

    @precondition(lambda self: self.in_states(OPEN))
    @rule(pick=picks, force=st.booleans())
    def cancel(self, pick: int, force: bool) -> None:
        job = one_of(self.in_states(OPEN), pick)
        with self.database.writing() as session:
            wishes.request_cancel(session, job.id, force=force)
        if job.status not in CLAIMED:
            self.turn(job, JobStatus.CANCELLED)
        elif force:
            self.turn(job, JobStatus.CANCELLED)
            job.due = False  # until the lease of its worker is over
            job.steps_heard.clear()
        elif job.status is not JobStatus.CANCELLING:
            self.turn(job, JobStatus.CANCELLING)

    @precondition(lambda self: self.in_states(PAUSABLE))
    @rule(pick=picks)
    def pause(self, pick: int) -> None:
        job = one_of(self.in_states(PAUSABLE), pick)
        with self.database.writing() as session:
            wishes.request_pause(session, job.id)
        self.turn(job, JobStatus.PAUSED if job.status is JobStatus.QUEUED else JobStatus.PAUSING)

    @precondition(lambda self: self.in_states({JobStatus.PAUSED}))
    @rule(pick=picks)
    def resume(self, pick: int) -> None:
        job = one_of(self.in_states({JobStatus.PAUSED}), pick)
        with self.database.writing() as session:
            wishes.resume(session, job.id)
        self.turn(job, JobStatus.QUEUED)
        job.losses = 0
        self.learn_place(job)

    @precondition(lambda self: self.in_states(RETRYABLE))
    @rule(pick=picks, from_start=st.booleans())
    def retry(self, pick: int, from_start: bool) -> None:
        job = one_of(self.in_states(RETRYABLE), pick)
        if not from_start and job.checkpoint is not None and not job.states:
            with _raises(StatesGone), self.database.writing() as session:
                wishes.retry(session, job.id)
            return
        with self.database.writing() as session:
            wishes.retry(session, job.id, from_start=from_start)
        self.turn(job, JobStatus.QUEUED)
        job.losses = 0
        if from_start:
            job.cut(None)
        self.learn_place(job)

    @rule(pick=picks, wish=st.sampled_from(["pause", "resume", "retry"]))
    def ask_for_what_changes_nothing(self, pick: int, wish: str) -> None:
        """Refused, or there already."""
        job = one_of(list(self.model.values()), pick)
        ask, changes, there, refusal = WISHES[wish]
        if job.status in changes:
            return
        before = self.rows()
        refused = contextlib.nullcontext() if job.status in there else _raises(refusal)
        with refused, self.database.writing() as session:
            ask(session, job.id)
        assert self.rows() == before

    # --- workers

    @rule(worker_id=workers, choice=st.none() | picks)
    def claim_next(self, worker_id: str, choice: int | None) -> None:
        """And begin the attempt, unless that is `choice` None."""
        waiting = [job for job in self.in_states({JobStatus.QUEUED}) if job.due]
        job = min(waiting, key=lambda job: (-job.priority, job.queued_at, job.id), default=None)
        with self.database.reading() as session:
            found = queries.next_queued(session)
        assert (None if found is None else found.id) == (None if job is None else job.id)
        if job is not None:
            self.take(job, worker_id, choice)

    @precondition(lambda self: self.holding())
    @rule(
        pick=picks,
        times=st.integers(1, 3),
        from_start=st.booleans(),
        by_silence=st.booleans(),
        epochs=st.integers(0, 2),
    )
    def lose_and_take_again(self, pick: int, times: int, from_start: bool, by_silence: bool, epochs: int) -> None:
        """A job that harms whoever runs it; after that it gets a little further, or over old ground again."""
        job = one_of(self.holding(), pick)
        for _ in range(times):
            if by_silence:
                self.let_lease_run_out(self.holding().index(job))
                self.make_rounds(backoff=False)
            else:
                self.lose_trainer(self.holding().index(job), backoff=False)
            if job.status is not JobStatus.QUEUED:
                return
            self.take(job, "worker-5", -1 if from_start else 0)
        if epochs and job in self.unfinished():
            self.train_epochs(self.unfinished().index(job), epochs, save=True)

    @rule(pick=picks, worker_id=workers)
    def claim_what_cannot_be_claimed(self, pick: int, worker_id: str) -> None:
        """Rung late, or asking again after an unanswered commit."""
        job = one_of(list(self.model.values()), pick)
        if job.status is JobStatus.QUEUED and job.due:
            return
        own = job.holder is not None and job.holder.worker_id == worker_id and job.status is JobStatus.PREPARING
        before = self.rows()
        with self.database.writing() as session:
            claimed = attempts.claim(session, job.id, worker_id, LEASE_SECONDS)
        assert claimed == (job.holder if own and job.lease_holds else None)
        assert self.rows() == before

    @precondition(lambda self: self.not_begun())
    @rule(pick=picks, choice=picks)
    def begin_attempt(self, pick: int, choice: int) -> None:
        """From the newest state, mostly; or an older one, or the start, where files turned out to be damaged."""
        job = one_of(self.not_begun(), pick)
        point = one_of([*job.states[:1], *job.states, None], choice)
        with self.database.writing() as session:
            points = queries.resume_points(session, job.id)
            saved = next((each for each in points if point is not None and each.state.key == point.key), None)
            receipt = attempts.begin_attempt(session, _holder(job), saved)
        trained = next((steps for steps in reversed(job.steps_of_begun) if steps is not None), 0)
        job.cut(point)
        job.training = Training() if point is None else replace(point.training)
        assert (receipt is None) == (job.attempt == 1)
        if receipt is not None:
            assert receipt.from_attempt == (None if point is None else point.attempt)
            told = (receipt.stage, receipt.epoch, receipt.step)
            stands = (job.training.stage, job.training.epoch, job.training.step)
            assert told == ((None, None, None) if point is None else stands)
            assert receipt.steps_redone == max(0, trained - job.training.steps_done)
            assert min(receipt.seconds_lost, receipt.seconds_waited) >= 0
        self.hear(job)
        self.seen["went on from a state" if point is not None else "began from the start"] += 1

    @precondition(lambda self: self.training())
    @rule(pick=picks)
    def record_running(self, pick: int) -> None:
        job = one_of(self.training(), pick)
        with self.database.writing() as session:
            recording.record_running(session, _holder(job), EvaluationStarted("cpu"))
        if job.status is JobStatus.PREPARING:
            self.turn(job, JobStatus.RUNNING)

    @precondition(lambda self: self.unfinished())
    @rule(pick=picks, steps=st.integers(1, 4))
    def make_steps(self, pick: int, steps: int) -> None:
        job, training = self.pick_training(self.unfinished(), pick)
        training.step = min(training.step + steps, STEPS_PER_EPOCH - 1)
        with self.database.writing() as session:
            recording.record_progress(
                session,
                _holder(job),
                Progressed(
                    progress=0.5,
                    eta_seconds=None,
                    stage=training.stage,
                    epoch=training.epoch + 1,
                    step=training.step,
                    steps_done=training.steps_done,
                ),
            )
        self.hear(job)

    @precondition(lambda self: self.unfinished())
    @rule(pick=picks, epochs=st.integers(1, 3), save=st.booleans())
    def train_epochs(self, pick: int, epochs: int, save: bool) -> None:
        job, training = self.pick_training(self.unfinished(), pick)
        for _ in range(epochs):
            if training.over:
                return
            training.finish_epoch()
            with self.database.writing() as session:
                recording.record_epoch(session, _holder(job), metrics_of(training.stage, training.epoch))
            job.metrics[training.stage, training.epoch] = job.attempt
            self.seen["epoch"] += 1
            if save:
                self.record_state(job, training)

    @precondition(lambda self: self.with_best())
    @rule(pick=picks, pinned=st.booleans())
    def write_checkpoint(self, pick: int, pinned: bool) -> None:
        job, training = self.pick_training(self.with_best(), pick)
        checkpoint = checkpoint_of(_holder(job), training.epoch)
        keys = file_keys(checkpoint)
        with self.database.writing() as session:
            recording.record_checkpoint(session, _holder(job), checkpoint)
            if pinned:
                session.execute(update(Artifact).where(col(Artifact.key).in_(keys)).values(pinned=True))
        job.checkpoint = training.checkpoint = checkpoint
        job.files |= {key: pinned or job.files.get(key, False) for key in keys}
        self.seen["pinned" if pinned else "checkpoint"] += 1

    @precondition(lambda self: self.training())
    @rule(pick=picks)
    def save_state(self, pick: int) -> None:
        self.record_state(*self.pick_training(self.training(), pick))

    @precondition(lambda self: self.holding())
    @rule(pick=picks, message=st.sampled_from(["one", "two"]), number=st.integers(1, 4))
    def renew_warn_and_tell_once(self, pick: int, message: str, number: int) -> None:
        job = one_of(self.holding(), pick)
        with self.database.writing() as session:
            assert attempts.renew_lease(session, _holder(job), LEASE_SECONDS) is job.status
        with self.database.writing() as session:
            recording.record_warning(session, _holder(job), JobWarning(code="test", message=message))
        with self.database.writing() as session:
            assert recording.record_once(session, _holder(job), number) == (number > job.messages)
        job.messages = max(job.messages, number)
        if message not in job.warnings:
            job.warnings.append(message)

    @precondition(lambda self: self.holding())
    @rule(pick=picks, status=st.sampled_from([JobStatus.SUCCEEDED, JobStatus.FAILED]))
    def finish(self, pick: int, status: JobStatus) -> None:
        job = one_of(self.holding(), pick)
        with self.database.writing() as session:
            attempts.finish(session, _holder(job), status, LOST if status is JobStatus.FAILED else None)
        self.turn(job, status)
        job.steps_heard.clear()

    @precondition(lambda self: self.holding())
    @rule(pick=picks, later=st.booleans())
    def hand_back(self, pick: int, later: bool) -> None:
        job = one_of(self.holding(), pick)
        with self.database.writing() as session:
            attempts.hand_back(session, _holder(job), "stopped", retry_in=1000.0 if later else 0.0)
        self.release(job, later)

    @precondition(lambda self: self.holding())
    @rule(pick=picks, backoff=st.booleans())
    def lose_trainer(self, pick: int, backoff: bool) -> None:
        job = one_of(self.holding(), pick)
        with self.database.writing() as session:
            attempts.lose_trainer(session, _holder(job), LOST, _policy(backoff))
        self.lose(job, backoff)

    @precondition(lambda self: self.lapsed_claims())
    @rule(pick=picks, write=st.sampled_from(sorted(WRITES)))
    def write_as_a_worker_that_woke_up(self, pick: int, write: str) -> None:
        """Of every claim that there ever was, but those that hold."""
        claim = one_of(self.lapsed_claims(), pick)
        before = self.rows()
        with _raises(LeaseLost), self.database.writing() as session:
            WRITES[write](session, claim)
        assert self.rows() == before
        self.seen["refused write"] += 1

    @precondition(lambda self: self.holding())
    @rule(pick=picks, write=st.sampled_from(sorted(WRITES)))
    def die_before_the_commit(self, pick: int, write: str) -> None:
        job = one_of(self.holding(), pick)
        before = self.rows()
        with _raises(_Crash), self.database.writing() as session:
            WRITES[write](session, _holder(job))
            raise _Crash
        assert self.rows() == before

    # --- time and the rounds

    @precondition(lambda self: self.holding())
    @rule(pick=picks)
    def let_lease_run_out(self, pick: int) -> None:
        job = one_of(self.holding(), pick)
        run_out_lease(self.database, job.id)
        job.lease_holds = False

    @precondition(lambda self: self.not_due())
    @rule(pick=picks)
    def wait_for_backoff(self, pick: int) -> None:
        job = one_of(self.not_due(), pick)
        let_backoff_pass(self.database, job.id)
        job.due = True

    @rule(backoff=st.booleans())
    def make_rounds(self, backoff: bool) -> None:
        due = [job for job in self.in_states({JobStatus.QUEUED}) if job.due]
        with self.database.writing() as session:
            assert rounds.take_unrung(session, ring_again_seconds=-1000.0) == len(due)
            requeued = attempts.expire_leases(session, _policy(backoff))
        expired = [job for job in self.in_states(CLAIMED) if not job.lease_holds]
        for job in expired:
            self.lose(job, backoff)
        assert sorted(requeued) == sorted(job.id for job in expired if job.status is JobStatus.QUEUED)

    # --- what must hold

    @invariant()
    def the_rows_are_as_the_model_says(self) -> None:
        with self.database.reading() as session:
            events = _by_job(session.exec(select(JobEvent).order_by(col(JobEvent.number))))
            attempts = _by_job(session.exec(select(Attempt).order_by(col(Attempt.number))))
            files = _by_job(session.exec(select(Artifact)))
            rows = {row.id: row for row in session.exec(select(Job))}
            assert rows.keys() == self.model.keys()
            for job in self.model.values():
                _check_row(rows[job.id], job)
                _check_attempts(attempts[job.id], job)
                _check_files(files[job.id], queries.resume_points(session, job.id), job)
                _check_metrics(queries.metrics(session, rows[job.id]), job)
                _check_events(events[job.id], rows[job.id].event_count, job)

    def teardown(self) -> None:
        """Every job can still be brought to an end."""
        while self.holding():
            self.let_lease_run_out(0)
        self.make_rounds(backoff=False)
        while self.in_states({JobStatus.PAUSED}):
            self.resume(0)
        while self.not_due():
            self.wait_for_backoff(0)
        while self.in_states({JobStatus.QUEUED}):
            self.claim_next("worker-4", 0)
            self.finish(0, JobStatus.SUCCEEDED)
        with self.database.reading() as session:
            ends = {job.id: JobStatus(job.status) for job in session.exec(select(Job)).all()}
        assert ends == {job.id: job.status for job in self.model.values()}
        assert all(status.terminal for status in ends.values())

    # --- which jobs a rule can do something to

    def in_states(self, states: Collection[JobStatus]) -> list[ModelJob]:
        return [job for job in self.model.values() if job.status in states]

    def holding(self) -> list[ModelJob]:
        return [job for job in self.model.values() if job.lease_holds]

    def not_begun(self) -> list[ModelJob]:
        return [job for job in self.holding() if job.training is None]

    def training(self) -> list[ModelJob]:
        return [job for job in self.holding() if job.training is not None]

    def unfinished(self) -> list[ModelJob]:
        return [job for job in self.training() if job.training is not None and not job.training.over]

    def with_best(self) -> list[ModelJob]:
        """Those that have finished an epoch of stage 2."""
        return [job for job in self.training() if job.training is not None and job.training.reached >= (2, 1)]

    def not_due(self) -> list[ModelJob]:
        return [job for job in self.model.values() if not job.due]

    def lapsed_claims(self) -> list[Claim]:
        return [claim for claim in self.claims if claim not in [job.holder for job in self.holding()]]

    def pick_training(self, jobs: list[ModelJob], pick: int) -> tuple[ModelJob, Training]:
        job = one_of(jobs, pick)
        assert job.training is not None
        return job, job.training

    # --- what several rules do

    def turn(self, job: ModelJob, status: JobStatus) -> None:
        self.seen[f"{job.status} -> {status}"] += 1
        job.turn(status)

    def lose(self, job: ModelJob, backoff: bool) -> None:
        job.losses += 1
        if job.losses >= MAX_LOSSES and job.status in (JobStatus.PREPARING, JobStatus.RUNNING):
            self.turn(job, JobStatus.FAILED)
            job.steps_heard.clear()
            self.seen["poison"] += 1
        else:
            self.release(job, backoff)

    def take(self, job: ModelJob, worker_id: str, choice: int | None) -> None:
        """Claim the job, and begin the attempt unless `choice` is None."""
        with self.database.writing() as session:
            claimed = attempts.claim(session, job.id, worker_id, LEASE_SECONDS)
        assert claimed == Claim(job.id, job.attempt + 1, worker_id)
        job.attempt += 1
        self.turn(job, JobStatus.PREPARING)
        job.holder, job.lease_holds, job.messages = claimed, True, 0
        job.steps_heard[job.attempt] = 0
        self.claims.append(claimed)
        if choice is not None:
            self.begin_attempt(self.not_begun().index(job), choice)

    def release(self, job: ModelJob, later: bool) -> None:
        after = {JobStatus.CANCELLING: JobStatus.CANCELLED, JobStatus.PAUSING: JobStatus.PAUSED}
        self.turn(job, after.get(job.status, JobStatus.QUEUED))
        job.due = not (later and job.status is JobStatus.QUEUED)
        if job.status.terminal:
            job.steps_heard.clear()

    def record_state(self, job: ModelJob, training: Training) -> None:
        told = state_of(_holder(job), training.stage, training.epoch, training.step, training.checkpoint)
        key = told.file.key
        with self.database.writing() as session:
            superseded = recording.record_state(session, _holder(job), told)
        others = [state for state in job.states if state.key != key]
        assert superseded == [state.key for state in others[1:]]
        job.states = [ModelState(key, replace(training), job.attempt), *others[:1]]
        if all(training.steps_done > steps for attempt, steps in job.steps_heard.items() if attempt < job.attempt):
            self.seen["forgiven" if job.losses else "nothing to forgive"] += 1
            job.losses = 0
        else:
            self.seen["old ground"] += 1
        self.hear(job)

    def hear(self, job: ModelJob) -> None:
        assert job.training is not None
        job.steps_heard[job.attempt] = job.training.steps_done
        job.steps_of_begun[job.attempt - 1 :] = [job.training.steps_done]

    def rows(self) -> list[str]:
        """All there is, as text: a write that is refused leaves no trace."""
        with self.database.reading() as session:
            return sorted(
                f"{table.__name__} {sorted(row.model_dump().items())}"
                for table in TABLES
                for row in session.exec(select(table)).all()
            )

    def learn_place(self, job: ModelJob) -> None:
        """A job that is submitted, resumed or retried goes behind all that ever waited."""
        with self.database.reading() as session:
            queued_at = queries.get(session, job.id).queued_at
        assert all(queued_at >= other.queued_at for other in self.model.values())
        job.queued_at = queued_at


def _check_row(row: Job, job: ModelJob) -> None:
    assert row.status == job.status
    assert row.attempt == job.attempt
    assert row.worker_losses == job.losses
    assert row.checkpoint == job.checkpoint
    assert [warning["message"] for warning in row.warnings] == job.warnings
    assert (row.finished_at is not None) == job.status.terminal
    assert (row.error is not None) == (job.status is JobStatus.FAILED)
    assert (row.lease_expires_at is not None) == (job.status in CLAIMED)
    assert (row.retry_at is not None) <= (job.status is JobStatus.QUEUED or not job.due)
    assert row.queued_at == job.queued_at
    if job.status in CLAIMED:
        assert row.worker_id == _holder(job).worker_id
    elif job.status in OPEN:
        assert (row.worker_id, row.stage, row.epoch, row.step) == (None, None, None, None)


def _check_attempts(attempts: list[Attempt], job: ModelJob) -> None:
    """One at most is open, and it is the newest."""
    assert [attempt.number for attempt in attempts] == list(range(1, job.attempt + 1))
    open_ones = [attempt.number for attempt in attempts if attempt.ended_at is None]
    assert open_ones == ([job.attempt] if job.status in CLAIMED else [])


def _check_files(artifacts: list[Artifact], points: list[ResumePoint], job: ModelJob) -> None:
    listed = {artifact.key: artifact.pinned for artifact in artifacts}
    assert listed == job.files | {state.key: False for state in job.states}
    assert file_keys(job.checkpoint) <= set(listed)
    assert [point.state.key for point in points] == [state.key for state in job.states]


def _check_metrics(metrics: list[EpochMetric], job: ModelJob) -> None:
    """Each epoch once, and none that the attempt has not reached."""
    shown = [((metric.stage, metric.epoch), metric.attempt) for metric in metrics]
    assert shown == sorted(job.metrics.items())
    if job.training is not None and shown:
        assert shown[-1][0] <= job.training.reached


def _check_events(events: list[JobEvent], count: int, job: ModelJob) -> None:
    assert [event.number for event in events] == list(range(1, count + 1))
    assert all(earlier.attempt <= later.attempt for earlier, later in pairwise(events))
    told = [event.data for event in events if event.kind == "status"]
    assert [data["status"] for data in told] == job.statuses
    assert [data["previous"] for data in told] == [None, *job.statuses[:-1]]
    assert all(new in NEXT[old] for old, new in pairwise(job.statuses))


def _by_job(rows: Iterable[_Row]) -> dict[str, list[_Row]]:
    by_job: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        by_job[row.job_id].append(row)
    return by_job


def _holder(job: ModelJob) -> Claim:
    assert job.holder is not None
    return job.holder


@contextlib.contextmanager
def _raises(kind: type[Exception]) -> Iterator[None]:
    """As pytest.raises, whose failure hypothesis would not take for one of the code's."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def test_no_order_of_events_loses_a_job(database: Database) -> None:
    _hurry(database)
    seen: Counter[str] = Counter()

    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(database, seen)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=50,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=PHASES,
        ),
    )
    assert set(seen) >= MUST_BE_SEEN, sorted(MUST_BE_SEEN - set(seen))
    if os.environ.get("EDGEFACE_TEST_SHOW_STATES"):
        print(sorted(seen.items()))


def _hurry(database: Database) -> None:
    """What is tested here survives a crash of a worker, not one of the database."""
    with database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            name = connection.engine.url.database
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    database.engine.dispose()
