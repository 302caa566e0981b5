"""The images of docker-compose.yml, built on roots made by debootstrap: no registry is asked."""

import shutil
import subprocess
from pathlib import Path

from tests.compose.engine import Engine

ROOT = Path(__file__).parents[2]
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
PREFIX = "edgeface-compose-check"
BASE, REDIS, API, WORKER = (f"{PREFIX}-{name}" for name in ("base", "redis", "api", "worker"))

# As redis:7-alpine: 999 owns /data.
_REDIS = f"""
FROM {BASE}
RUN apt-get update -q && apt-get install -qy --no-install-recommends redis-server \\
    && rm -rf /var/lib/apt/lists/* && install -d -o 999 -g 1000 /data
"""


def build_images(engine: Engine, folder: Path) -> None:
    """Build all four. `folder` holds the root meanwhile."""
    _import_base(engine, folder / "root")
    engine.docker("build", "--network", "host", "--tag", REDIS, "-", stdin=_REDIS)
    for target, tag in (("api", API), ("worker", WORKER)):
        arguments = ("--network", "host", "--build-arg", f"PYTHON_IMAGE={BASE}", "--target", target, "--tag", tag)
        engine.docker("build", *arguments, str(ROOT))


def remove_images(engine: Engine) -> None:
    engine.docker("image", "rm", "--force", API, WORKER, REDIS, BASE)


def _import_base(engine: Engine, root: Path) -> None:
    """Debian with python3, and the certificates that this machine trusts: it may reach PyPI through a proxy."""
    include = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(
        ["debootstrap", "--variant=minbase", include, "bookworm", str(root)], check=True, capture_output=True
    )
    shutil.copyfile(AUTHORITIES, root / AUTHORITIES.relative_to("/"))
    archive = root.with_suffix(".tar")
    subprocess.run(["tar", "--create", "--directory", str(root), "--file", str(archive), "."], check=True)
    changes = [f"--change=ENV SSL_CERT_FILE={AUTHORITIES}", f"--change=ENV PIP_CERT={AUTHORITIES}"]
    engine.docker("import", *changes, str(archive), BASE)
    shutil.rmtree(root)
    archive.unlink()
