"""Runs the API alone."""

import gc
import sys
from types import FrameType
from typing import Any

import uvicorn

from app.cli.run.listening import open_for_callers, settings_of
from app.logs import LogSetup, configure_logging, log_settings
from app.main import create_app
from app.parent_process import end_with_parent
from app.private_files import make_private_files, mend_modes
from app.request_limits.descriptors import allowed_connections, backlog_of, raise_descriptor_limit
from app.request_limits.server_protocol import Connections, Deadlines, limited_protocol
from app.request_limits.sizes import MOST_HEAD_BYTES
from app.routes.dependencies import Service
from app.settings import Settings
from app.shown_roots import shown_paths
from app.startup import check_address, prepare_folders
from app.tracing import configure_tracing


class _Server(uvicorn.Server):
    """Ends open event streams before uvicorn waits for them."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.stopping.set()
        super().handle_exit(sig, frame)


def start_api(options: dict[str, Any], *, create_first_key: bool) -> None:
    """Run the API with the options of the command in place of its settings."""
    make_private_files()
    end_with_parent()
    settings = settings_of(options)
    configure_logging(LogSetup("api", settings.log_format, shown_paths(settings)))
    log_settings(settings)
    configure_tracing("api")
    prepare_folders(settings, trains=False)
    check_address(settings.host, settings.port)
    open_for_callers(settings, create_first_key=create_first_key)
    run_api(settings)


SWITCH_SECONDS = 0.0005
"""For which a thread may compute while others wait. The event loop gives its turn away with each socket it writes to:
at Python's 5 ms, one thread that makes a page of jobs would hold up the news for 1,000 readers for 5 s."""


def run_api(settings: Settings) -> None:
    mend_modes(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    descriptors = raise_descriptor_limit()
    app = create_app(settings)
    # What is there now stays for ever: a collection that looked at it again would stop all requests for longer.
    gc.collect()
    gc.freeze()
    connections = Connections(allowed_connections(settings.max_connections, descriptors), Deadlines())
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=limited_protocol(connections),
        ws="none",
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        backlog=backlog_of(descriptors),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    _Server(config, app.state.service).run()
