"""Errors of photos and models that a person tries. All errors are drawn in app/finetune/error_tree.py."""

from app.finetune.errors import Blame, EdgefaceError, name_some


class PhotoRefused(EdgefaceError):
    """A photo has no face that can be used. The message names the photo."""

    code = "photo_refused"
    blame: Blame = "request"


class PhotoUnreadable(PhotoRefused):
    code = "photo_unreadable"

    def __init__(self, photo: str, reason: str) -> None:
        super().__init__(f"{photo}: {reason}", "send a whole photo, such as a JPEG or PNG file")


class FaceNotFound(PhotoRefused):
    code = "face_not_found"

    def __init__(self, photo: str) -> None:
        super().__init__(
            f"{photo}: no face is found",
            "send a photo with an upright face; if the photo is a face that is cropped and aligned already, "
            "send align=false",
        )


class SeveralFaces(PhotoRefused):
    code = "several_faces"

    def __init__(self, photo: str, faces: int) -> None:
        super().__init__(f"{photo}: {faces} faces are found", "crop the photo to one person")


class PhotosInvalid(PhotoRefused):
    code = "photos_invalid"

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason, hint)


class ModelFileDamaged(EdgefaceError):
    code = "model_file_damaged"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the ONNX file of the model cannot be used: {reason}",
            "delete the file and make it again: POST /model-exports; `edgeface-finetune doctor` finds damaged files",
        )


class ExportMissing(EdgefaceError):
    """The model has no ONNX file, and the caller may not submit the job that makes one."""

    code = "export_missing"
    blame: Blame = "request"

    def __init__(self, models: list[str]) -> None:
        super().__init__(
            f"there is no ONNX file of {name_some(models)} yet",
            "somebody with the scope `submit` makes it by the same request, or by POST /model-exports",
        )


class ModelNotFound(EdgefaceError):
    code = "model_not_found"
    blame: Blame = "request"

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
