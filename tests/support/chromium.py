"""How the tests start Debian's Chromium."""

import os
from pathlib import Path

CHROMIUM = Path(os.environ.get("EDGEFACE_TEST_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
