"""The photos in the form of a request, in memory alone: photos are not kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from app.finetune.errors import printable, shortened
from app.recognition.errors import PhotosInvalid
from app.recognition.task import MOST_PHOTOS, Photo

MOST_FORM_BYTES = 20_000_000
"""Of all photos of a request together."""

_MOST_NAME = 100
_WORDS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


@dataclass(frozen=True)
class PhotoForm:
    """`photos` and `texts` by the names of their fields. `align`: whether faces are to be found and aligned."""

    photos: dict[str, list[Photo]]
    texts: dict[str, str]
    align: bool


async def read_photos(request: Request, fields: Mapping[str, int], texts: Sequence[str] = ()) -> PhotoForm:
    """Read the form. `fields` has the most photos of each field; one is needed. `texts` are the other fields.

    Raises PhotosInvalid.
    """
    form = await _form(request, fields)
    try:
        return await _read(form, fields, texts)
    finally:
        await form.close()


async def _read(form: FormData, fields: Mapping[str, int], texts: Sequence[str]) -> PhotoForm:
    unknown = sorted({name for name, _ in form.multi_items()} - {*fields, *texts, "align"})
    if unknown:
        raise PhotosInvalid(
            f"the form has the unknown field {shortened(unknown[0])!r}", f"send {', '.join(fields)} and align"
        )
    photos = {}
    for field, most in fields.items():
        found = [part for part in form.getlist(field) if isinstance(part, UploadFile)]
        if not found or len(found) > most:
            raise PhotosInvalid(
                f"{field}: {len(found)} photos; 1 to {most} are needed", f"send them as curl -F {field}=@photo.jpg does"
            )
        names = _names(field, [part.filename or "" for part in found])
        photos[field] = [Photo(name=name, content=await part.read()) for name, part in zip(names, found, strict=True)]
    found_texts = {name: text for name in texts if isinstance(text := form.get(name), str)}
    return PhotoForm(photos, found_texts, _align(form))


async def _form(request: Request, fields: Mapping[str, int]) -> FormData:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise PhotosInvalid(
            "the body is not multipart/form-data", f"send photos as curl -F {next(iter(fields))}=@photo.jpg does"
        )
    parser = MultiPartParser(request.headers, request.stream(), max_files=MOST_PHOTOS + 1, max_fields=4)
    parser.spool_max_size = MOST_FORM_BYTES + 1  # nothing of a photo on the disk
    try:
        return await parser.parse()
    except (MultiPartException, KeyError) as error:
        message = error.message if isinstance(error, MultiPartException) else "its Content-Type has no boundary"
        raise PhotosInvalid(f"the form cannot be read: {message}", "send it as curl -F does") from None


def _align(form: FormData) -> bool:
    text = form.get("align", "true")
    if not isinstance(text, str) or text.lower() not in _WORDS:
        raise PhotosInvalid("align: neither true nor false", "send true, or false for faces that are cropped already")
    return _WORDS[text.lower()]


def _names(field: str, file_names: list[str]) -> list[str]:
    """Return what the photos are called: their paths below the folder that all share, without suffixes."""
    paths = [PurePosixPath(name.replace("\\", "/")) for name in file_names]
    parts = [[part for part in path.parts if part not in ("/", "..")] for path in paths]
    shared = len(parts) > 1 and all(len(each) > 1 and each[0] == parts[0][0] for each in parts)
    names = ["/".join(each[1:] if shared else each[-1:]) for each in parts]
    stems = [str(PurePosixPath(name).with_suffix("")) if name else field for name in names]
    return [shortened(printable(stem), _MOST_NAME) for stem in stems]
