"""A service with the tables, and what a browser asks it."""

from collections.abc import Callable

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.integration.access.conftest import api as api
from tests.integration.access.conftest import application as application
from tests.integration.access.conftest import database as database
from tests.integration.access.conftest import settings as settings

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

Visit = Callable[..., httpx2.Response]


@pytest.fixture
def visit(api: TestClient) -> Visit:
    """GET an address as a browser does, without following a redirect."""

    def get(address: str, **headers: str) -> httpx2.Response:
        return api.get(address, headers={**BROWSER, **headers}, follow_redirects=False)

    return get
