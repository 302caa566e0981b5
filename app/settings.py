"""Settings of the service, read once from environment variables with the prefix EDGEFACE_."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.service_urls import check_broker_url, check_database_url, without_password

_RATE = r"^([1-9]\d{0,8}/(second|minute|hour))?$"


class Settings(BaseSettings):
    """The defaults use SQLite, Celery over the file system, and files under var/."""

    model_config = SettingsConfigDict(env_prefix="EDGEFACE_", extra="ignore", hide_input_in_errors=True)

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
    linked_dirs: str = Field(
        "", description="Folders outside the roots that links in datasets may lead to, separated by `:`. Default: none."
    )
    uploads_dir: Path = Field(
        Path(),
        description="Folder for uploads, and for the datasets and weights that they became. Default: VAR_DIR/uploads.",
    )
    database_url: str = Field(
        "", description="SQLAlchemy URL (sqlite or postgresql+psycopg). Default: SQLite in VAR_DIR/edgeface.sqlite."
    )
    broker_url: str = Field(
        "", description="Celery broker, such as redis://localhost:6379/0. Default: files under VAR_DIR/broker."
    )
    database_password_file: Path | None = Field(
        None, description="File with the password of EDGEFACE_DATABASE_URL, such as a secret of Docker."
    )
    broker_password_file: Path | None = Field(
        None, description="File with the password of EDGEFACE_BROKER_URL, such as a secret of Docker."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on.")
    log_format: Literal["console", "json"] = Field(
        "console", description="Lines of the log for people (`console`), or an object of JSON a line (`json`)."
    )
    max_connections: int = Field(
        4096,
        ge=1,
        description="Connections that the API keeps open. Beyond it, the one that has waited longest for a request is "
        "closed. The limit of open files may allow fewer.",
    )
    checks_at_once: int = Field(
        4,
        ge=1,
        le=64,
        description="Submissions and listings of datasets and weights that the API checks at once, in threads of their "
        "own.",
    )
    checks_waiting: int = Field(
        64, ge=0, le=10_000, description="Checks that wait for their turn. The API answers further ones with 503."
    )
    allowed_hosts: str = Field(
        "",
        description="Host names, separated by commas, that the API answers to besides its own addresses; `*`: any. "
        "Needed where clients or a proxy use another name of the machine.",
    )
    cors_origins: str = Field(
        "",
        description="Origins, separated by commas, whose pages may call the API with a key, such as "
        "https://lab.example. Default: none.",
    )
    insecure: bool = Field(
        False, description="Whether to listen on a network without API keys: everybody there may do everything."
    )
    admin_key_file: Path | None = Field(
        None,
        description="File with an API key for an admin, such as a secret of Docker. Another key in it revokes the one "
        "before.",
    )
    keep_audit_days: float = Field(365.0, ge=0, description="Days for which the audit of changes is kept. 0: for ever.")
    session_hours: float = Field(12.0, gt=0, description="Hours after which a browser has to log in again.")
    tls_cert: Path | None = Field(None, description="Certificate (PEM, with its chain) for HTTPS.")
    tls_key: Path | None = Field(None, description="Private key (PEM) of the certificate.")
    forwarded_allow_ips: str = Field(
        "",
        description="Addresses of proxies, separated by commas, whose X-Forwarded-For and X-Forwarded-Proto are "
        "believed. Default: none.",
    )
    slots: int = Field(
        1,
        ge=1,
        le=64,
        description="Jobs that a worker runs at once. On a machine with GPUs: the number of its GPUs times "
        "EDGEFACE_JOBS_PER_GPU, and more for jobs that run on the CPU.",
    )
    jobs_per_gpu: int = Field(
        1,
        ge=1,
        le=16,
        description="Jobs that share a GPU at once, of all workers of a machine that have the same EDGEFACE_VAR_DIR.",
    )
    rate_of_reads: str = Field(
        "12000/minute",
        pattern=_RATE,
        description="Requests by GET and HEAD of one address, and of one key, in a second, minute or hour. The API "
        "answers further ones with 429. Empty: no limit.",
    )
    rate_of_writes: str = Field("1200/minute", pattern=_RATE, description="The same for all other methods.")
    max_queued_jobs: int = Field(
        1000,
        ge=1,
        description="Jobs of all kinds that one owner may have queued. The API refuses further ones with 429.",
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
        14.0,
        ge=0,
        description="Days for which prepared faces, compiled networks and checked copies of weights are kept after "
        "their last use.",
    )
    upload_quota_gb: float = Field(
        100.0,
        gt=0,
        description="Gigabytes (10^9 bytes) of each owner: uploads, and the datasets and weights that they became.",
    )
    upload_keep_free_gb: float = Field(
        2.0, ge=0, description="Gigabytes of the disk that no upload and no unpacking of one may take."
    )
    upload_expire_hours: float = Field(
        24.0, gt=0, description="Hours after its last received byte for which an upload is kept."
    )
    compile: bool = Field(
        False,
        description="Whether trainings on a GPU use a backbone by torch.compile that `edgeface-finetune compile` made, "
        "where it pays. It rounds otherwise. Not measured on a GPU.",
    )
    checked_images: int = Field(
        20_000, ge=0, description="Former setting, without effect: a worker checks the images of a dataset, once."
    )

    @field_validator(
        "admin_key_file", "tls_cert", "tls_key", "database_password_file", "broker_password_file", mode="before"
    )
    @classmethod
    def _is_unset_if_empty(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("database_url", "broker_url")
    @classmethod
    def _check_url(cls, url: str, info: ValidationInfo) -> str:
        if not url:
            return url
        return check_database_url(url) if info.field_name == "database_url" else check_broker_url(url)

    @model_validator(mode="after")
    def _default_to_var_dir(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: set both or none")
        self.database_url = _with_password(self.database_url, self.database_password_file, "database_password_file")
        self.broker_url = _with_password(self.broker_url, self.broker_password_file, "broker_password_file")
        if self.heartbeat_seconds > self.lease_seconds / 4:
            raise ValueError("heartbeat_seconds: a lease must last four heartbeats or more; raise lease_seconds")
        self.var_dir = self.var_dir.absolute()
        for name, subfolder in (
            ("datasets_dir", "datasets"),
            ("weights_dir", "weights"),
            ("artifacts_dir", "artifacts"),
            ("prepared_dir", "prepared"),
            ("uploads_dir", "uploads"),
        ):
            chosen: Path = getattr(self, name)
            setattr(self, name, self.var_dir / subfolder if chosen == Path() else chosen.absolute())
        self.database_url = self.database_url or f"sqlite:///{self.var_dir / 'edgeface.sqlite'}"
        for folder in self.linked_dirs.split(os.pathsep):
            if folder and not Path(folder).is_absolute():
                raise ValueError(f"linked_dirs: {folder!r} is no absolute path")
        return self

    @property
    def allowed_host_list(self) -> list[str]:
        return _parts(self.allowed_hosts)

    @property
    def cors_origin_list(self) -> list[str]:
        return [origin.rstrip("/") for origin in _parts(self.cors_origins)]

    @property
    def compiled_dir(self) -> Path:
        """Cache folder for compiled networks."""
        return self.var_dir / "compiled"

    @property
    def dataset_roots(self) -> tuple[Path, ...]:
        """The folders that links in a dataset may lead to, without a link in their own paths."""
        linked = (Path(folder) for folder in self.linked_dirs.split(os.pathsep) if folder)
        return tuple(folder.resolve() for folder in (self.datasets_dir, self.uploads_dir / "datasets", *linked))

    @property
    def readable_roots(self) -> tuple[Path, ...]:
        """The folders from which a job may read files, wherever links lead."""
        own = self.var_dir, self.weights_dir, self.artifacts_dir, self.prepared_dir, self.uploads_dir
        return *self.dataset_roots, *(folder.resolve() for folder in own)

    @property
    def checked_weights_dir(self) -> Path:
        """Cache folder for checked copies of weights."""
        return self.var_dir / "weights-checked"

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, without_password(value) if name in ("database_url", "broker_url") else value

    def make_directories(self) -> None:
        """Create the service's folders. Folders mounted read-only must exist already."""
        for folder in (self.var_dir, self.datasets_dir, self.weights_dir, self.artifacts_dir, self.prepared_dir):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _with_password(url: str, file: Path | None, field: str) -> str:
    """Return the URL with the password in the file. Raises ValueError."""
    if file is None:
        return url
    try:
        password = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"{field}: {file} cannot be read: {reason}") from None
    if not password:
        raise ValueError(f"{field}: {file} is empty")
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{field}: there is no URL of a server that the password belongs to")
    user, _, server = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{quote(password, safe='')}@{server}"))
