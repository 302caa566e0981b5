"""Archives made by the tests."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image


def image(shade: int = 100, size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), (shade, 255 - shade, 7)).save(file, "PNG")
    return file.getvalue()


IMAGE = image()


def write_zip(path: Path, files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return path


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            add(archive, name, content)
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", /, **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(content))


def tar_with(**fields: object) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        with tarfile.open(path, "w") as archive:
            add(archive, "anna/1.png", **fields)
        return path

    return write


def zip_with(name: str, **fields: object) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name  # the constructor cuts at a NUL
        for field, value in fields.items():
            setattr(info, field, value)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, IMAGE)
        return path

    return write
