"""Warnings about the photos of a build."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from app.dataset_build.faces import MadeFace
from app.dataset_build.names import name_warnings
from app.finetune.config import FACE_SIZE
from app.finetune.counted import by_number, counted
from app.finetune.errors import name_some, printable
from app.finetune.job_warning import JobWarning
from app.finetune.photo_names import without_mark


def photo_warnings(made: Sequence[MadeFace], *, cropped: bool) -> Iterator[JobWarning]:
    """Return the warnings about photos and names. `cropped`: the faces are the centre squares of the photos."""
    yield from name_warnings([face.photo for face in made])
    if frames := [_name(face) for face in made if face.frames > 1]:
        yield JobWarning(
            code="first_frame_used",
            message=f"{counted(len(frames), 'file')} {by_number(len(frames), 'has', 'have')} several images, such as "
            f"frames or pages; the first is built ({name_some(frames)})",
        )
    sizes = Counter(face.size for face in made if face.size[0] != face.size[1])
    if cropped and sizes:
        listed = ", ".join(f"{width}x{height} ({count})" for (width, height), count in sizes.most_common(5))
        yield JobWarning(
            code="photos_cropped",
            message=f"{sizes.total()} of {counted(len(made), 'photo')} {by_number(sizes.total(), 'is', 'are')} not "
            f"square; {by_number(sizes.total(), 'its', 'their')} centre square is built: {listed}",
        )
    small = sorted((face for face in made if face.side < FACE_SIZE), key=lambda face: (face.side, face.photo.path))
    if small:
        smallest = name_some([f"{_name(face)} {face.side:.0f} px" for face in small])
        yield JobWarning(
            code="hr_images_small",
            message=f"{len(small)} of {counted(len(made), 'face')} {by_number(len(small), 'measures', 'measure')} "
            "less than "
            f"{FACE_SIZE} px in {by_number(len(small), 'its', 'their')} photo and {by_number(len(small), 'is', 'are')} "
            f"enlarged, which adds no detail: {smallest}; --min-size leaves small ones out",
        )
    yield from _resolution_warnings(made)


def _resolution_warnings(made: Sequence[MadeFace]) -> Iterator[JobWarning]:
    by_photo: defaultdict[tuple[str, str], list[MadeFace]] = defaultdict(list)
    for face in made:
        by_photo[face.photo.subject, without_mark(face.photo.name)].append(face)
    several = [its for its in by_photo.values() if len({face.photo.name for face in its}) > 1]
    if several:
        names = [" and ".join(_name(face) for face in its) for its in several]
        yield JobWarning(
            code="photos_at_several_resolutions",
            message=f"{counted(len(several), 'photo')} {by_number(len(several), 'seems', 'seem')} to be there at "
            f"several resolutions ({name_some(names)}): a photo "
            "compared with itself makes recognition look better than it is; leave only the largest of each",
        )


def _name(face: MadeFace) -> str:
    return printable(f"{face.photo.path.parent.name}/{face.photo.path.name}")
