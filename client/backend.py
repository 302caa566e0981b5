"""The build backend: setuptools, after the sources have been assembled."""

from collections.abc import Mapping

from assemble import assemble_if_in_repository
from setuptools import build_meta
from setuptools.build_meta import get_requires_for_build_sdist, get_requires_for_build_wheel

__all__ = ["build_sdist", "build_wheel", "get_requires_for_build_sdist", "get_requires_for_build_wheel"]

Settings = Mapping[str, str | list[str] | None] | None


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    assemble_if_in_repository()
    name: str = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    return name


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    assemble_if_in_repository()
    name: str = build_meta.build_sdist(sdist_directory, config_settings)
    return name
