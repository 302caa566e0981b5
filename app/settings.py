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
    database_url: str = Field(
        "", description="SQLAlchemy URL (sqlite or postgresql+psycopg). Default: SQLite in VAR_DIR/edgeface.sqlite."
    )
    broker_url: str = Field(
        "", description="Celery broker, such as redis://localhost:6379/0. Default: files under VAR_DIR/broker."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on.")
    lease_seconds: float = Field(
        30.0, gt=0, description="A running job whose worker is silent for this long is given to another worker."
    )
    heartbeat_seconds: float = Field(
        0.5, gt=0, description="How often a worker renews its lease and looks for a cancel."
    )
    rounds_seconds: float = Field(
        2.0, gt=0, description="How often dead workers' jobs are rescued and waiting jobs are rung for again."
    )
    worker_seen_seconds: float = Field(
        15.0, gt=0, description="A worker that has not reported for this long counts as gone."
    )
    max_worker_losses: int = Field(
        3, ge=1, description="A job that has lost this many workers is failed, not tried again."
    )
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
        self.var_dir = self.var_dir.absolute()
        for name, subfolder in (
            ("datasets_dir", "datasets"),
            ("weights_dir", "weights"),
            ("artifacts_dir", "artifacts"),
        ):
            chosen: Path = getattr(self, name)
            setattr(self, name, self.var_dir / subfolder if chosen == Path() else chosen.absolute())
        self.database_url = self.database_url or f"sqlite:///{self.var_dir / 'edgeface.sqlite'}"
        return self

    def make_directories(self) -> None:
        """Create the folders the service writes to or looks in; those mounted read-only must exist already."""
        for folder in (self.var_dir, self.datasets_dir, self.weights_dir, self.artifacts_dir):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
