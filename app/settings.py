"""Every setting of the service, read once from the environment (prefix EDGEFACE_) and passed on."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """With nothing set: SQLite, Celery over the filesystem, all files under var/."""

    model_config = SettingsConfigDict(env_prefix="EDGEFACE_", extra="ignore")

    var_dir: Path = Field(Path("var"), description="Where everything the service writes lives.")
    datasets_dir: Path = Field(
        Path(), description="Root that train_dir, val_dir and dataset are names in. Default: VAR_DIR/datasets."
    )
    weights_dir: Path = Field(Path(), description="Root that edgeface and dsr are names in. Default: VAR_DIR/weights.")
    artifacts_dir: Path = Field(Path(), description="Where checkpoints are kept. Default: VAR_DIR/artifacts.")
    prepared_dir: Path = Field(
        Path(), description="Where decoded and super-resolved faces are kept for later jobs. Default: VAR_DIR/prepared."
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
        1, ge=1, le=64, description="How many jobs a worker runs at once; slot i trains on GPU i, counted round."
    )
    lease_seconds: float = Field(
        45.0,
        gt=0,
        description="A running job whose worker is silent for this long is given to another worker. A database that is "
        "away for half of it costs nothing.",
    )
    heartbeat_seconds: float = Field(
        0.5, gt=0, description="How often a worker renews its lease and looks for a cancel."
    )
    rounds_seconds: float = Field(
        2.0, gt=0, description="How often dead workers' jobs are rescued and waiting jobs are rung for again."
    )
    ring_again_seconds: float = Field(
        10.0, gt=0, description="A waiting job is rung for again after this long, in case its bell was lost."
    )
    worker_seen_seconds: float = Field(
        15.0, gt=0, description="A worker that has not reported for this long counts as gone."
    )
    max_worker_losses: int = Field(
        3,
        ge=1,
        description="A job that has lost this many workers or trainers without getting further is failed (`poison`).",
    )
    retry_backoff_seconds: float = Field(
        2.0, ge=0, description="Wait after a lost worker or trainer; doubles with each further loss, up to 5 minutes."
    )
    save_every_seconds: float = Field(
        60.0, gt=0, description="How often the training state is saved inside an epoch; each epoch's end saves it too."
    )
    stall_seconds: float = Field(
        600.0, gt=0, description="A trainer that made no step for this long is ended and its job tried again."
    )
    stop_seconds: float = Field(
        6.0, gt=0, description="How long a trainer asked to stop may take to save its state before it is ended."
    )
    keep_states_days: float = Field(
        7.0,
        ge=0,
        description="How long an ended job can be retried from its last state; then its states are deleted, and "
        "measurements forgotten (after a day at least).",
    )
    keep_checkpoints_days: float = Field(
        0.0,
        ge=0,
        description="How long an ended job's unpinned checkpoints, and what was measured of them, are kept; "
        "0: for ever.",
    )
    keep_prepared_days: float = Field(14.0, ge=0, description="How long prepared faces are kept after their last use.")
    checked_images: int = Field(
        20_000, ge=0, description="At most this many images are decoded to check a dataset when a job is submitted."
    )

    @model_validator(mode="after")
    def _default_to_var_dir(self) -> Self:
        for name in ("database_url", "broker_url"):
            if (url := getattr(self, name)) and "://" not in url:
                raise ValueError(f"{name}: {url!r} is no URL, such as redis://localhost:6379/0")
        for wrong in ("postgres://", "postgresql://"):
            # The driver that is installed; SQLAlchemy would look for another one.
            self.database_url = self.database_url.replace(wrong, "postgresql+psycopg://", 1)
        if self.heartbeat_seconds > self.lease_seconds / 4:
            raise ValueError("heartbeat_seconds: a lease must outlast four heartbeats; raise lease_seconds")
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
        """Create the folders the service writes to or looks in; those mounted read-only must exist already."""
        for folder in (self.var_dir, self.datasets_dir, self.weights_dir, self.artifacts_dir, self.prepared_dir):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
