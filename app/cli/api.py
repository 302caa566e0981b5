"""`edgeface-finetune api`: run the API alone."""

from types import FrameType

import click
import uvicorn

from app.main import create_app
from app.parent_process import end_with_parent
from app.routes.dependencies import Service
from app.settings import Settings


class _Server(uvicorn.Server):
    """Ends open event streams before uvicorn waits for them."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.stopping.set()
        super().handle_exit(sig, frame)


@click.command()
@click.option("--host", help="Address to listen on. Default: EDGEFACE_HOST, or 127.0.0.1.")
@click.option("--port", type=int, help="Port to listen on. Default: EDGEFACE_PORT, or 8000.")
def api(host: str | None, port: int | None) -> None:
    """Run the API alone. Workers on this or other machines take its jobs."""
    end_with_parent()
    run_api(Settings(), host, port)


def run_api(settings: Settings, host: str | None = None, port: int | None = None) -> None:
    settings.make_directories()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=host or settings.host,
        port=settings.port if port is None else port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    _Server(config, app.state.service).run()
