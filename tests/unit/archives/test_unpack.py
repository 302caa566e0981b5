"""Archives are unpacked, or refused by an error of their own that names the entry."""

import io
import os
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.archives import ArchiveLimits, Unpacked, unpack
from app.archives.errors import (
    ArchiveBomb,
    ArchiveDamaged,
    ArchiveEncrypted,
    ArchiveError,
    ArchiveFormatUnknown,
    ArchiveLink,
    ArchiveNamesCollide,
    ArchiveNested,
    ArchivePathUnsafe,
    ArchiveSpecialFile,
    ArchiveTooLarge,
    ArchiveTooManyEntries,
    ArchiveWithoutImages,
)
from app.archives.names import EntryNames
from tests.unit.archives.making import IMAGE, add, image, tar_with, write_tar, write_zip, zip_with

FILES = {"anna/1.png": IMAGE, "anna/2.png": image(1), "Zoë/1.png": image(2)}
LIMITS = ArchiveLimits(bytes=10**8)


def unpack_to(folder: Path, archive: Path, limits: ArchiveLimits = LIMITS) -> Unpacked:
    folder.mkdir()
    return unpack(archive, folder, limits, wanted=lambda name: name.endswith((".png", ".bmp")))


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["zip", "deflated", "w", "w:gz", "w:bz2", "w:xz"])
def test_images_of_every_format_come_out_as_they_went_in(tmp_path: Path, mode: str) -> None:
    compression = {"zip": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}
    others = {"anna/readme.txt": b"x", "__MACOSX/anna/._1.png": b"x", ".DS_Store": b"x", "./Zoë/2.png": IMAGE}
    path = tmp_path / "archive"
    if mode in compression:
        write_zip(path, FILES | others, compression[mode])
    else:
        write_tar(path, FILES | others, mode)
    found = unpack_to(tmp_path / "out", path)
    assert files_in(tmp_path / "out") == FILES | {"Zoë/2.png": IMAGE}
    assert (found.files, found.left_out) == (4, 3)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "out").rglob("*")}
    assert modes == {0o600, 0o700}


def _many(path: Path) -> Path:
    return write_zip(path, {f"{number}.png": b"" for number in range(11)})


def _bomb(path: Path) -> Path:
    return write_zip(path, {"anna/1.bmp": bytes(70 * 2**20)}, zipfile.ZIP_DEFLATED)


def _tar_bomb(path: Path) -> Path:
    return write_tar(path, {"anna/1.bmp": bytes(70 * 2**20)}, "w:gz")


def _skipped_tar_bomb(path: Path) -> Path:
    return write_tar(path, {"anna/1.png": IMAGE, "notes.txt": bytes(70 * 2**20)}, "w:gz")


def _encrypted(path: Path) -> Path:
    write_zip(path, {"anna/1.png": IMAGE})
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= 1
    path.write_bytes(content)
    return path


def _truncated(mode: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        write_tar(path, {"anna/1.png": os.urandom(200_000), "anna/2.png": os.urandom(200_000)}, mode)
        path.write_bytes(path.read_bytes()[:250_000])
        return path

    return write


def _wrong_checksum(path: Path) -> Path:
    write_zip(path, {"anna/1.png": IMAGE})
    path.write_bytes(path.read_bytes().replace(IMAGE, IMAGE[:-1] + b"x"))
    return path


def _lies_of_its_size(path: Path) -> Path:
    write_zip(path, {"anna/1.png": bytes(100_000)}, zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    return path


def _long_header(path: Path) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        add(archive, "anna/1.png", IMAGE, pax_headers={"comment": "x" * 2**21})
    return path


def _nested_by_content(path: Path) -> Path:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("1.png", IMAGE)
    return write_zip(path, {"anna/1.png": inner.getvalue()})


def _sparse(path: Path) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        headers = {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.map": "0,1",
            "GNU.sparse.size": "9" * 12,
        }
        add(archive, "anna/1.png", b"x", pax_headers=headers)
    return path


def _bytes(content: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


HOSTILE: dict[str, tuple[Callable[[Path], Path], type[ArchiveError], str]] = {
    "text": (_bytes(b"faces" * 200), ArchiveFormatUnknown, "no archive"),
    "7z": (
        lambda path: (path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(600)) and path) or path,
        ArchiveFormatUnknown,
        "7z",
    ),
    "empty": (_bytes(b""), ArchiveDamaged, "empty"),
    "zip cut": (
        lambda path: (path.write_bytes(b"PK\x03\x04" + bytes(600)) and path) or path,
        ArchiveDamaged,
        "archive",
    ),
    "tar cut": (_truncated("w"), ArchiveDamaged, "2.png"),
    "tar.gz cut": (_truncated("w:gz"), ArchiveDamaged, "2.png"),
    "tar.xz cut": (_truncated("w:xz"), ArchiveDamaged, "2.png"),
    "checksum": (_wrong_checksum, ArchiveDamaged, "anna/1.png"),
    "size": (_lies_of_its_size, ArchiveDamaged, "anna/1.png"),
    "long header": (_long_header, ArchiveDamaged, "header"),
    "encrypted": (_encrypted, ArchiveEncrypted, "anna/1.png"),
    "absolute": (zip_with("/etc/1.png"), ArchivePathUnsafe, "absolute"),
    "absolute tar": (tar_with(name="/etc/1.png"), ArchivePathUnsafe, "absolute"),
    "dots": (zip_with("anna/../../1.png"), ArchivePathUnsafe, r"`\.\.`"),
    "dots tar": (tar_with(name="../1.png"), ArchivePathUnsafe, r"`\.\.`"),
    "drive": (zip_with("C:1.png"), ArchivePathUnsafe, "drive"),
    "backslash": (zip_with("anna\\1.png"), ArchivePathUnsafe, "backslash"),
    "nul": (zip_with("anna/1.png\0.txt"), ArchivePathUnsafe, "NUL"),
    "control": (zip_with("anna/1\n.png"), ArchivePathUnsafe, "control"),
    "long name": (zip_with("a" * 256 + ".png"), ArchivePathUnsafe, "255 bytes"),
    "long path": (zip_with("/".join(["a" * 200] * 6) + ".png"), ArchivePathUnsafe, "1024 bytes"),
    "deep": (zip_with("a/" * 33 + "1.png"), ArchivePathUnsafe, "32 folders"),
    "link zip": (zip_with("anna/1.png", external_attr=(stat.S_IFLNK | 0o777) << 16), ArchiveLink, "anna/1.png"),
    "symlink": (tar_with(type=tarfile.SYMTYPE, linkname="/etc/passwd"), ArchiveLink, "anna/1.png"),
    "hard link": (tar_with(type=tarfile.LNKTYPE, linkname="anna/0.png"), ArchiveLink, "anna/1.png"),
    "device": (tar_with(type=tarfile.CHRTYPE, devmajor=1, devminor=5), ArchiveSpecialFile, "device"),
    "pipe": (tar_with(type=tarfile.FIFOTYPE), ArchiveSpecialFile, "pipe"),
    "pipe zip": (zip_with("1.png", external_attr=(stat.S_IFIFO | 0o777) << 16), ArchiveSpecialFile, "pipe"),
    "holes": (_sparse, ArchiveSpecialFile, "holes"),
    "nested": (lambda path: write_zip(path, {"anna.zip": IMAGE}), ArchiveNested, "anna.zip"),
    "nested, another name": (_nested_by_content, ArchiveNested, "anna/1.png"),
    "capitals": (lambda path: write_zip(path, {"anna/1.png": IMAGE, "Anna/2.png": IMAGE}), ArchiveNamesCollide, "Anna"),
    "accents": (
        lambda path: write_tar(path, {"Zoë.png": IMAGE, unicodedata.normalize("NFD", "Zoë.png"): IMAGE}),
        ArchiveNamesCollide,
        "Zo",
    ),
    "twice": (lambda path: _twice(path), ArchiveNamesCollide, "anna/1.png"),
    "file and folder": (
        lambda path: write_tar(path, {"anna.png": IMAGE, "anna.png/1.png": IMAGE}),
        ArchiveNamesCollide,
        "anna.png",
    ),
    "many": (_many, ArchiveTooManyEntries, "10 entries"),
    "bomb": (_bomb, ArchiveBomb, "100 times"),
    "bomb tar": (_tar_bomb, ArchiveBomb, "100 times"),
    "bomb that is left out": (_skipped_tar_bomb, ArchiveBomb, "100 times"),
    "large": (lambda path: write_zip(path, {"anna/1.png": bytes(10**6 + 1)}), ArchiveTooLarge, "1.0 MB"),
    "large tar": (lambda path: write_tar(path, {"anna/1.png": bytes(10**6 + 1)}), ArchiveTooLarge, "1.0 MB"),
    "no image": (lambda path: write_zip(path, {"readme.txt": b"x"}), ArchiveWithoutImages, "1 entries"),
}


def _twice(path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        add(archive, "anna/1.png", IMAGE)
        add(archive, "anna/1.png", IMAGE)
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_an_archive_is_refused_by_an_error_of_its_own(tmp_path: Path, name: str) -> None:
    write, expected, words = HOSTILE[name]
    limits = ArchiveLimits(bytes=10**6 if name.startswith("large") else 10**8, entries=10)
    with pytest.raises(ArchiveError, match=words) as raised:
        unpack_to(tmp_path / "out", write(tmp_path / "archive"), limits)
    assert type(raised.value) is expected
    assert raised.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "out"]


WRITERS: list[Callable[[Path, Mapping[str, bytes]], Path]] = [
    write_zip,
    write_tar,
    lambda path, files: write_tar(path, files, "w:gz"),
]
NAMES = st.text(st.characters(codec="utf-8") | st.sampled_from("/\\.:\0aA"), max_size=30)


@hypothesis_settings(max_examples=200)
@given(names=st.lists(NAMES, max_size=6))
def test_no_name_leads_out_of_the_folder_or_to_two_files_of_one_name(names: list[str]) -> None:
    seen, found = EntryNames(), []
    for name in names:
        try:
            found.append(seen.parts(name, is_folder=False))
        except ArchiveError:
            continue
    root = Path("/root/of/archive")
    paths = [Path(os.path.normpath(root.joinpath(*parts))) for parts in found if parts]
    assert all(root in path.parents for path in paths)
    folded = [unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold()) for path in paths]
    assert len(set(folded)) == len(folded)


@hypothesis_settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_archive_is_unpacked_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    write = data.draw(st.sampled_from(WRITERS))
    content = bytearray(write(folder / "archive", FILES).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "archive").write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        unpack_to(folder / "out", folder / "archive")
    except ArchiveError as error:
        assert error.hint
