"""Run in a worktree of commit 71914f9: `python version_0_1.py VAR ANSWERS`.

The script runs version 0.1's own API and supervisor on VAR until it holds jobs that succeeded, jobs that were paused at
chosen steps and jobs that are queued, with their rows, events, saved states and checkpoints. It writes what version
0.1's API answers about each of them to ANSWERS, as JSON.

It imports that commit's modules, so it is not checked against today's: see `tool.mypy` in pyproject.toml. The imports
are inside the functions because each trainer process imports this file anew.
"""

import json
import multiprocessing
import sys
import threading
import time
from functools import partial
from pathlib import Path

DATASET = "drawn"
WEIGHTS = "untrained.pt"
CPU = {"dataset": DATASET, "edgeface": WEIGHTS, "device": "cpu", "num_workers": 0, "batch_size": 6, "seed": 7}
FINETUNING = {**CPU, "mixed_precision": "off", "stage1_epochs": 1, "stage2_epochs": 2, "backbone_lr": 1e-4}
TRAININGS = {
    "guide": ("/jobs", FINETUNING),
    "recommended": ("/jobs", {**FINETUNING, "recipe": "recommended", "invented_people": 8}),
    "dsr": ("/dsr-trainings", {**CPU, "epochs": 2, "channels": 8, "blocks": 1, "factors": [2]}),
}
# Optimizer steps; an epoch has 3, and each stage of a fine-tuning starts with its own.
PLACES = {
    "guide": {"stage 1": 2, "middle of an epoch of stage 2": 5, "end of an epoch": 6},
    "recommended": {"stage 1": 2, "middle of an epoch of stage 2": 5, "end of an epoch": 6},
    "dsr": {"middle of an epoch": 2},
}
EVERY_STEP = 1e-9
TIMEOUT_SECONDS = 120.0


def main() -> None:
    from fastapi.testclient import TestClient
    from worker.openmp import let_waiting_threads_sleep

    from app.main import create_app
    from app.settings import Settings
    from tests.unit.training.support import write_drawn_split, write_untrained

    var, answers = Path(sys.argv[1]), Path(sys.argv[2])
    settings = Settings(var_dir=var, save_every_seconds=EVERY_STEP, heartbeat_seconds=0.1, lease_seconds=600.0)
    settings.make_directories()
    for half, images in (("train_processed", range(4)), ("val_processed", range(4, 6))):
        write_drawn_split(settings.datasets_dir / DATASET / half, range(4), images)
    write_untrained(settings.weights_dir / WEIGHTS)
    let_waiting_threads_sleep()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        ["worker.trainer_process", "worker.training.rehearsal", "worker.training.super_resolution.recipe"]
    )
    with TestClient(create_app(settings)) as api:
        service = Service(api, settings, processes)
        jobs = service.make_jobs()
        made = {"jobs": jobs, "trainings": TRAININGS, "answers": service.answers(jobs.values())}
        answers.write_text(json.dumps(made))


class Service:
    """One API, and a supervisor for each job."""

    def __init__(self, api, settings, processes):
        self.api, self.settings, self.processes = api, settings, processes

    def make_jobs(self):
        """Job ids by name."""
        from worker.trainer_process import train

        made = {}
        for training, places in PLACES.items():
            made[training] = self.run(self.submit(*TRAININGS[training], key=training), train)
            for place, steps in places.items():
                made[f"{training}: {place}"] = self.pause(self.submit(*TRAININGS[training]), steps)
        evaluation = {"dataset": DATASET, "edgeface": f"job:{made['guide']}", "before": WEIGHTS, "device": "cpu"}
        made["evaluation"] = self.run(self.submit("/evaluations", evaluation), train)
        made["dry run"] = self.run(self.submit("/jobs?dry_run=measure", FINETUNING), train)
        made["queued"] = self.submit(*TRAININGS["guide"])
        made["queued evaluation"] = self.submit("/evaluations", evaluation)
        return made

    def submit(self, path, config, key=None):
        answer = self.api.post(path, json=config, headers={} if key is None else {"Idempotency-Key": key})
        assert answer.status_code in (201, 202), answer.text
        return answer.json()["id"]

    def run(self, job_id, trainer_main):
        self.supervisor(trainer_main).run_waiting_jobs()
        job = self.job(job_id)
        assert job["status"] == "succeeded", job["error"]
        return job_id

    def pause(self, job_id, steps):
        worker = threading.Thread(target=self.supervisor(partial(train_until, steps)).run_waiting_jobs)
        worker.start()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while ((self.job(job_id)["resume_point"] or {}).get("steps_done", 0)) < steps:
            assert worker.is_alive() and time.monotonic() < deadline, self.job(job_id)
            time.sleep(0.05)
        assert self.api.post(f"/jobs/{job_id}/pause").status_code == 200
        worker.join()
        job = self.job(job_id)
        assert (job["status"], job["resume_point"]["steps_done"]) == ("paused", steps), job
        return job_id

    def supervisor(self, trainer_main):
        from worker.supervisor import Supervisor

        return Supervisor(self.api.app.state.service.database, self.settings, self.processes, trainer_main)

    def job(self, job_id):
        return self.api.get(f"/jobs/{job_id}").json()

    def answers(self, job_ids):
        """By path."""
        parts = ("", "/metrics", "/events", "/attempts")
        paths = [f"/jobs/{job_id}{part}" for job_id in job_ids for part in parts]
        return {path: self.api.get(path).json() for path in paths}


def train_until(steps, connection, order):
    """Like `train`, and wait for the order to stop at the state of this many optimizer steps."""
    from worker.training.events import StateSaved
    from worker.training.recipe import finetune
    from worker.training.super_resolution.recipe import train_dsr

    from app.finetune.dsr_config import DsrTrainingConfig
    from worker.trainer_process import obey, tell

    control = obey(connection, order)

    def report(event):
        tell(connection, event)
        if isinstance(event, StateSaved) and event.steps_done >= steps:
            control.stop.wait()

    (train_dsr if isinstance(order.config, DsrTrainingConfig) else finetune)(order.config, order.files, report, control)


if __name__ == "__main__":
    main()
