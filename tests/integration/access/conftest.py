"""A service whose database has the tables, and clients with keys."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.database import Database
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import sqlite_template as sqlite_template


@pytest.fixture
def settings(tmp_path: Path, sqlite_template: Path) -> Settings:
    settings = Settings(var_dir=tmp_path / "var")
    settings.make_directories()
    shutil.copyfile(sqlite_template, settings.var_dir / "edgeface.sqlite")
    return settings


@pytest.fixture(scope="module")
def shared_api(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[TestClient]:
    """For tests that change nothing, or nothing that others see."""
    settings = Settings(var_dir=tmp_path_factory.mktemp("shared") / "var")
    settings.make_directories()
    shutil.copyfile(sqlite_template, settings.var_dir / "edgeface.sqlite")
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def application(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def api(application: FastAPI) -> Iterator[TestClient]:
    with TestClient(application) as client:
        yield client


@pytest.fixture
def database(application: FastAPI) -> Database:
    return database_of(application)


def database_of(application: object) -> Database:
    found: Database = cast("FastAPI", application).state.service.database
    return found
