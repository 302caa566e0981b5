"""`edgeface-finetune` in this process: its settings, what it prints, its exit status."""

import contextlib
import io
from dataclasses import dataclass
from unittest import mock

from app.cli.service import main
from app.settings import Settings


@dataclass(frozen=True)
class Ended:
    status: int
    output: str
    errors: str


def edgeface_finetune(settings: Settings, *arguments: str) -> Ended:
    environment = {
        "EDGEFACE_VAR_DIR": str(settings.var_dir),
        "EDGEFACE_DATABASE_URL": settings.database_url,
        "EDGEFACE_ARTIFACTS_DIR": str(settings.artifacts_dir),
    }
    output, errors, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.dict("os.environ", environment),
        mock.patch("sys.argv", ["edgeface-finetune", *arguments]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Ended(status, output.getvalue(), errors.getvalue())
