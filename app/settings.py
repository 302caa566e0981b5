"""Settings of the service, read once from environment variables with the prefix EDGEFACE_."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The defaults use SQLite, Celery over the file system, and files under var/."""

    model_config = SettingsConfigDict(env_prefix="EDGEFACE_", extra="ignore")

    var_dir: Path = Field(Path("var"), description="Folder for everything the service writes.")
    datasets_dir: Path = Field(
        Path(), description="Root folder of dataset, train_dir, val_dir and eval_dir. Default: VAR_DIR/datasets."
    )
    weights_dir: Path = Field(Path(), description="Root folder of edgeface, before and dsr. Default: VAR_DIR/weights.")
    artifacts_dir: Path = Field(
        Path(), description="Folder for checkpoints, training states and reports. Default: VAR_DIR/artifacts."
    )
    prepared_dir: Path = Field(
        Path(), description="Cache folder for decoded and super-resolved faces. Default: VAR_DIR/prepared."
    )
    database_url: str = Field(
        "", description="SQLAlchemy URL (sqlite or postgresql+psycopg). Default: SQLite in VAR_DIR/edgeface.sqlite."
    )
    broker_url: str = Field(
        "", description="Celery broker, such as redis://localhost:6379/0. Default: files under VAR_DIR/broker."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on.")
    slots: int = Field(
        1, ge=1, le=64, description="Jobs that a worker runs at once. Slot i uses GPU i modulo the number of GPUs."
    )
    lease_seconds: float = Field(
        45.0,
        gt=0,
        description="A running job goes to another worker if its worker is silent for this long. Jobs survive a "
        "database outage of half this time.",
    )
    heartbeat_seconds: float = Field(
        0.5, gt=0, description="Seconds between a worker's lease renewals and checks for a cancel or a pause."
    )
    rounds_seconds: float = Field(
        2.0, gt=0, description="Seconds between checks for jobs of dead workers and for waiting jobs."
    )
    ring_again_seconds: float = Field(
        10.0, gt=0, description="A waiting job's queue message is sent again after this long, in case it was lost."
    )
    worker_seen_seconds: float = Field(
        15.0, gt=0, description="A worker counts as gone if it has not reported for this long."
    )
    max_worker_losses: int = Field(
        3,
        ge=1,
        description="A job fails (`poison`) after losing this many workers or trainers without progress.",
    )
    retry_backoff_seconds: float = Field(
        2.0, ge=0, description="Wait after a lost worker or trainer. Doubles with each further loss, up to 5 minutes."
    )
    save_every_seconds: float = Field(
        60.0,
        gt=0,
        description="Seconds between saves of the training state within an epoch. Each epoch's end saves too.",
    )
    stall_seconds: float = Field(
        600.0, gt=0, description="A trainer that makes no step for this long is killed and its job is retried."
    )
    stop_seconds: float = Field(
        6.0, gt=0, description="Time a stopping trainer has to save its state before it is killed."
    )
    keep_states_days: float = Field(
        7.0,
        ge=0,
        description="Days for which an ended job can be retried from its last state. Then its states are deleted, and "
        "the rows of dry runs (after a day at least).",
    )
    keep_checkpoints_days: float = Field(
        0.0,
        ge=0,
        description="Days for which an ended job's unpinned checkpoints and their evaluations are kept. 0: for ever.",
    )
    keep_prepared_days: float = Field(
        14.0, ge=0, description="Days for which prepared faces are kept after their last use."
    )
    checked_images: int = Field(
        20_000, ge=0, description="Most images decoded to check a dataset when a job is submitted."
    )

    @model_validator(mode="after")
    def _default_to_var_dir(self) -> Self:
        for name in ("database_url", "broker_url"):
            if (url := getattr(self, name)) and "://" not in url:
                raise ValueError(f"{name}: {url!r} is not a URL such as redis://localhost:6379/0")
        for wrong in ("postgres://", "postgresql://"):
            # psycopg is installed; SQLAlchemy's default driver is another.
            self.database_url = self.database_url.replace(wrong, "postgresql+psycopg://", 1)
        if self.heartbeat_seconds > self.lease_seconds / 4:
            raise ValueError("heartbeat_seconds: a lease must last four heartbeats or more; raise lease_seconds")
        self.var_dir = self.var_dir.absolute()
        for name, subfolder in (
            ("datasets_dir", "datasets"),
            ("weights_dir", "weights"),
            ("artifacts_dir", "artifacts"),
            ("prepared_dir", "prepared"),
        ):
            chosen: Path = getattr(self, name)
            setattr(self, name, self.var_dir / subfolder if chosen == Path() else chosen.absolute())
        self.database_url = self.database_url or f"sqlite:///{self.var_dir / 'edgeface.sqlite'}"
        return self

    def make_directories(self) -> None:
        """Create the service's folders. Folders mounted read-only must exist already."""
        for folder in (self.var_dir, self.datasets_dir, self.weights_dir, self.artifacts_dir, self.prepared_dir):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
