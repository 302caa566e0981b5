"""Read the images of a training: each file is opened and hashed once, and decoded once unless its face is prepared.

One pass over a folder gives the digest of its files, the prints that copies are found by, and the decoded images, which
wait in a temporary file for their enlargement. It holds 64 images in memory at a time, besides the prints.

The face cache names faces by the digest of all files, which is known only after the pass. The prints that the last
training kept (print_cache.py) predict it: where faces with the predicted name are prepared, the pass hashes the files
and decodes none whose print is known. Where the prediction turns out wrong, or the prepared faces are damaged, the
files are read a second time.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from app.finetune.config import BICUBIC, FACE_SIZE
from app.finetune.errors import ChangedWhileRead, UnreadableImages
from app.finetune.images import READER_VERSION, decode_rgb, read_bytes
from app.finetune.job_warning import JobWarning
from app.finetune.pixel_problems import PixelProblem, pixel_problem, pixel_warnings
from app.finetune.same_photo import Look, Print, make_look, make_print
from app.finetune.training_errors import DiskFull
from worker.training.data.face_cache import PreparedFaces, prepared_key
from worker.training.data.look_file import LookFile
from worker.training.data.pixel_file import KeptImage, PixelFile, Pixels
from worker.training.data.preprocess import CHUNK, Enlarge, Faces, by_size, enlarge_bicubic, enlarge_chunk, resample
from worker.training.data.print_cache import Known, PrintCache, Prints
from worker.training.runtime.control import Control
from worker.training.runtime.profiling import profiled
from worker.training.storage.digests import digest_of_images


@dataclass(frozen=True)
class Preparation:
    """How images become faces. `enlargement` is the sha256 of the DSR weights that `enlarge` runs in `precision`, or
    `bicubic`; `vlr_size` as in `enlarge_images`."""

    enlarge: Enlarge = enlarge_bicubic
    enlargement: str = BICUBIC
    vlr_size: int | None = None
    precision: Literal["float32", "fp16"] = "float32"

    def key(self, digest: str) -> str:
        """The name of the prepared faces of images with this digest."""
        return prepared_key(digest, enlargement=self.enlargement, vlr_size=self.vlr_size, precision=self.precision)

    @property
    def is_cheap(self) -> bool:
        """Whether enlarging costs no more than decoding."""
        return self.enlargement == BICUBIC


@dataclass(frozen=True)
class ReadImages:
    """Images that were read. `sha256s` are those of the files, `digest` that of all of them as in InputDigests.

    `prints` lacks the images that are `unreadable`, which has the reasons, and those that nobody asked for. `problems`
    has what is wrong with the pixels of the images in `prints`. `pixels` has the decoded images; None where the pass
    decoded none for their faces.
    """

    paths: tuple[Path, ...]
    preparation: Preparation | None
    sha256s: tuple[bytes, ...]
    digest: str
    prints: Mapping[Path, Print]
    problems: Mapping[Path, PixelProblem]
    unreadable: Mapping[Path, str]
    pixels: PixelFile | None


def problem_warnings(name: str, every: Iterable[ReadImages]) -> list[JobWarning]:
    """What is wrong with the pixels of the images of a split called `name`."""
    seen = {path for images in every for path in images.paths}
    problems = {path: problem for images in every for path, problem in images.problems.items()}
    return list(pixel_warnings(name, problems, len(seen)))


def refuse_unreadable(every: Iterable[ReadImages]) -> None:
    """Raises UnreadableImages naming all images that cannot be decoded."""
    if reasons := {path: reason for images in every for path, reason in images.unreadable.items()}:
        raise UnreadableImages(reasons)


_Decode = Literal["no", "print", "pixels"]


@dataclass(frozen=True)
class _One:
    """The result of reading one file. `sha256` is None where it cannot be opened, `print`, `pixels` and `look` where it
    was not decoded. `problem` is known with `print`."""

    sha256: bytes | None
    print: Print | None = None
    pixels: Pixels | None = None
    look: Look | None = None
    reason: str | None = None
    problem: PixelProblem | None = None

    def known(self) -> Known | None:
        return None if self.sha256 is None or self.print is None else Known(self.sha256, self.print, self.problem)


class ImageReader:
    """`prepared_dir` is shared by trainings; `threads` read and decode. `looks` has the looks of the images read.
    `reader` is the version whose pixels are wanted: that of the training that is resumed. `on_read` is called with the
    number of further images read."""

    def __init__(
        self,
        prepared_dir: Path,
        threads: int,
        control: Control,
        reader: int = READER_VERSION,
        on_read: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._folder = prepared_dir
        self._threads = max(1, threads)
        self._control = control
        self._on_read = on_read
        self._faces = PreparedFaces(prepared_dir, control)
        self._prints = PrintCache(prepared_dir, control, reader)
        self._reader = reader
        self.looks = LookFile(prepared_dir, control)

    def read(
        self,
        paths: Sequence[Path],
        preparation: Preparation | None,
        *,
        with_prints: bool,
        with_looks: bool = False,
        only_opened: bool = False,
    ) -> ReadImages:
        """Read each image once: for its face unless `preparation` is None, for its print `with_prints`, and
        `with_looks` for its look too, if it is decoded.

        Images that cannot be decoded are returned as unreadable; with `only_opened` also files that cannot be opened,
        which the other fields lack. Raises UnreadableImages where files cannot be opened, DiskFull and StopRequested.
        """
        known = self._prints.find(paths) if paths else None
        is_prepared = known is not None and preparation is not None and self._are_prepared(paths, known, preparation)
        pixels = None if preparation is None or is_prepared else PixelFile(self._folder, self._control)
        ones: list[_One] = []
        readable = True
        decode: _Decode = "no" if pixels is None and not with_prints else "print" if pixels is None else "pixels"
        with ThreadPoolExecutor(self._threads) as pool:
            for start in range(0, len(paths), CHUNK):
                self._control.refuse_if_stopped()
                some = paths[start : start + CHUNK]
                read = self._read_some(pool, some, known and known[start : start + CHUNK], decode, with_looks)
                for path, one in zip(some, read, strict=True):
                    if one.look is not None:
                        self.looks.append(path, one.look)
                readable = readable and all(one.reason is None for one in read)
                if pixels is not None and preparation is not None and readable:
                    _keep(pixels, [one.pixels for one in read if one.pixels is not None], preparation)
                ones += [replace(one, pixels=None, look=None) for one in read]
                self._on_read(len(some))
        unreadable = {path: one.reason for path, one in zip(paths, ones, strict=True) if one.reason is not None}
        opened = [(path, one) for path, one in zip(paths, ones, strict=True) if one.sha256 is not None]
        if len(opened) < len(paths) and not only_opened:
            raise UnreadableImages(unreadable)
        paths, ones = [path for path, _ in opened], [one for _, one in opened]
        return self._read_images(paths, preparation, ones, unreadable, known, pixels)

    def faces(self, images: ReadImages, on_faces: Callable[[int], None] = lambda _: None) -> Faces:
        """The prepared faces of images that were read, all of them readable; `on_faces` is called with how many more
        were enlarged, or found.

        Raises EnlargementNotFinite, ChangedWhileRead, UnreadableImages, OutOfMemory, DiskFull and StopRequested.
        """
        assert images.preparation is not None, "read for their faces"  # noqa: S101
        key, count = images.preparation.key(images.digest), len(images.paths)
        faces = self._faces.find(key, count)
        if faces is None:
            faces = self._faces.make(key, count, partial(self._enlarged, images, images.preparation, on_faces))
        else:
            on_faces(count)
        if images.pixels is not None:
            images.pixels.close()
        return faces

    def _read_images(
        self,
        paths: Sequence[Path],
        preparation: Preparation | None,
        ones: Sequence[_One],
        unreadable: Mapping[Path, str],
        known: Prints | None,
        pixels: PixelFile | None,
    ) -> ReadImages:
        sha256s = tuple(one.sha256 for one in ones if one.sha256 is not None)
        prints = {path: one.print for path, one in zip(paths, ones, strict=True) if one.print is not None}
        found = [one for one in (one.known() for one in ones) if one is not None]
        if len(found) == len(paths) and paths and found != known:
            with suppress(DiskFull):  # training needs no kept prints
                self._prints.write(paths, found)
        problems = {path: one.problem for path, one in zip(paths, ones, strict=True) if one.problem is not None}
        digest = digest_of_images(paths, sha256s, self._reader)
        return ReadImages(tuple(paths), preparation, sha256s, digest, prints, problems, unreadable, pixels)

    def _are_prepared(self, paths: Sequence[Path], known: Prints, preparation: Preparation) -> bool:
        digest = digest_of_images(paths, [each.sha256 for each in known], self._reader)
        return self._faces.has(preparation.key(digest))

    @profiled("read images")
    def _read_some(
        self,
        pool: ThreadPoolExecutor,
        paths: Sequence[Path],
        expected: Prints | None,
        decode: _Decode,
        with_looks: bool = False,
    ) -> list[_One]:
        read = partial(_read_one, reader=self._reader, decode=decode, with_look=with_looks)
        return list(pool.map(read, paths, expected or [None] * len(paths)))

    def _enlarged(
        self, images: ReadImages, preparation: Preparation, on_faces: Callable[[int], None]
    ) -> Iterator[Faces]:
        for start in range(0, len(images.paths), CHUNK):
            places = range(start, min(start + CHUNK, len(images.paths)))
            if images.pixels is not None:
                faces = _enlarge_kept(images.pixels.read(places), preparation.enlarge)
            else:
                faces = self._read_again(images, places, preparation)
            yield faces
            on_faces(len(places))

    def _read_again(self, images: ReadImages, places: range, preparation: Preparation) -> Faces:
        paths = [images.paths[place] for place in places]
        with ThreadPoolExecutor(self._threads) as pool:
            ones = self._read_some(pool, paths, None, "pixels")
        if unreadable := {path: one.reason for path, one in zip(paths, ones, strict=True) if one.reason is not None}:
            raise UnreadableImages(unreadable)
        if [one.sha256 for one in ones] != [images.sha256s[place] for place in places]:
            raise ChangedWhileRead(paths[0].parent)
        decoded = [one.pixels for one in ones if one.pixels is not None]
        return enlarge_chunk(decoded, preparation.enlarge, preparation.vlr_size)


def _read_one(path: Path, expected: Known | None, *, reader: int, decode: _Decode, with_look: bool) -> _One:
    """A file with the expected sha256 is decoded for its pixels alone."""
    sha256 = None
    try:
        content = read_bytes(path)
        sha256 = hashlib.sha256(content).digest()
        known = expected if expected is not None and expected.sha256 == sha256 else None
        if decode == "no" or (decode == "print" and known is not None):
            return _One(sha256) if known is None else _One(sha256, known.print, problem=known.problem)
        image = decode_rgb(path, content, reader)
    except UnreadableImages as error:
        return _One(sha256, reason=error.reasons[path])
    pixels = np.asarray(image) if decode == "pixels" else None
    look = make_look(image) if with_look else None
    made, problem = (known.print, known.problem) if known else (make_print(image), pixel_problem(image))
    return _One(sha256, made, pixels, look, problem=problem)


def _keep(file: PixelFile, images: Sequence[Pixels], preparation: Preparation) -> None:
    """Resampled to `vlr_size`; as faces already where these take no more space and are made at once."""
    kept: list[KeptImage | None] = [None] * len(images)
    for places, (width, height), images_u8_NCHW in by_size(images):
        with profiled("enlargement"):
            images_u8_NCHW = resample(images_u8_NCHW, preparation.vlr_size)
            is_face = preparation.is_cheap and images_u8_NCHW[0, 0].numel() >= FACE_SIZE**2
            if is_face:
                images_u8_NCHW = preparation.enlarge(images_u8_NCHW)
        for place, image_u8_HWC in zip(places, images_u8_NCHW.permute(0, 2, 3, 1).numpy(), strict=True):
            kept[place] = KeptImage(image_u8_HWC, (width, height), is_face)
    for image in kept:
        if image is not None:
            file.append(image)


def _enlarge_kept(kept: Sequence[KeptImage], enlarge: Enlarge) -> Faces:
    faces_u8_NCHW = torch.empty(len(kept), 3, FACE_SIZE, FACE_SIZE, dtype=torch.uint8)
    sizes = Counter(image.size for image in kept)
    for size in sizes:
        places = [place for place, image in enumerate(kept) if image.size == size]
        images_u8_NCHW = torch.from_numpy(np.stack([kept[place].pixels for place in places])).permute(0, 3, 1, 2)
        with profiled("enlargement"):
            faces_u8_NCHW[torch.tensor(places)] = images_u8_NCHW if kept[places[0]].is_face else enlarge(images_u8_NCHW)
    return Faces(faces_u8_NCHW, sizes)
