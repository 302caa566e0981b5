"""Draws faces for demos and tests without real ones. Subjects differ in the shape and position of their features,
images of one subject in pose, light and expression. Drawn faces do not replace real ones in measurements."""

import math
import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance

Colour = tuple[int, int, int]
Point = tuple[float, float]

_SUPERSAMPLING = 2
_SKINS: tuple[Colour, ...] = ((255, 224, 196), (240, 194, 160), (214, 160, 120), (172, 116, 80), (120, 78, 54))
_HAIRS: tuple[Colour, ...] = ((24, 20, 18), (70, 44, 28), (128, 84, 44), (206, 168, 98), (168, 70, 36), (150, 150, 152))
_IRISES: tuple[Colour, ...] = ((60, 40, 28), (70, 110, 150), (86, 120, 70), (110, 80, 40))


@dataclass(frozen=True)
class _Subject:
    """Features of a subject. Lengths are relative to the image's side; angles are slopes, positive if the outer end is
    higher."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    face_width: float
    face_height: float
    chin: float
    hair_line: float
    hair_width: float
    eye_distance: float
    eye_height: float
    eye_size: float
    brow_lift: float
    brow_weight: float
    brow_slope: float
    nose_length: float
    nose_width: float
    mouth_height: float
    mouth_width: float
    lip_thickness: float
    beard: bool
    glasses: bool


@dataclass(frozen=True)
class _Pose:
    """Variation between images: shifts and sizes relative to the side, `roll` in radians."""

    shift: Point
    roll: float
    size: float
    turn: float
    smile: float
    eyelids: float
    brightness: float
    contrast: float
    background: Colour


def draw_face(subject: int, image: int, size: int = 112, seed: int = 0) -> Image.Image:
    """Draw image number `image` of subject number `subject`: RGB, `size` x `size` pixels, deterministic. The eyes are
    about where EdgeFace's alignment puts them."""
    drawn_subject = _draw_subject(random.Random(f"{seed}/{subject}"))
    pose = _draw_pose(random.Random(f"{seed}/{subject}/{image}"))
    side = size * _SUPERSAMPLING
    canvas = Image.new("RGB", (side, side), pose.background)
    _Painter(ImageDraw.Draw(canvas), drawn_subject, pose, side).paint()
    face = canvas.resize((size, size), Image.Resampling.BOX)
    face = ImageEnhance.Brightness(face).enhance(pose.brightness)
    return ImageEnhance.Contrast(face).enhance(pose.contrast)


def write_drawn_faces(folder: Path, subjects: int, images_per_subject: int, seed: int, size: int = 112) -> None:
    """Write `folder/SUBJECT/IMAGE.png`, one folder per subject, RGB, `size` x `size` pixels."""
    for subject in range(subjects):
        subject_folder = folder / f"drawn{subject:03}"
        subject_folder.mkdir(parents=True, exist_ok=True)
        for image in range(images_per_subject):
            draw_face(subject, image, size, seed).save(subject_folder / f"{image:02}.png")


def _draw_subject(draw: random.Random) -> _Subject:
    skin = draw.choice(_SKINS)
    return _Subject(
        skin=_shifted(skin, draw.uniform(-12, 12)),
        hair=draw.choice(_HAIRS),
        iris=draw.choice(_IRISES),
        lips=_mixed(skin, (170, 40, 50), draw.uniform(0.25, 0.7)),
        face_width=draw.uniform(0.33, 0.44),
        face_height=draw.uniform(0.46, 0.56),
        chin=draw.uniform(0.45, 0.85),
        hair_line=draw.uniform(0.1, 0.3),
        hair_width=draw.uniform(0.98, 1.25),
        eye_distance=draw.uniform(0.135, 0.19),
        eye_height=draw.uniform(0.43, 0.49),
        eye_size=draw.uniform(0.04, 0.065),
        brow_lift=draw.uniform(0.06, 0.11),
        brow_weight=draw.uniform(0.012, 0.035),
        brow_slope=draw.uniform(-0.35, 0.35),
        nose_length=draw.uniform(0.12, 0.22),
        nose_width=draw.uniform(0.035, 0.08),
        mouth_height=draw.uniform(0.77, 0.84),
        mouth_width=draw.uniform(0.09, 0.17),
        lip_thickness=draw.uniform(0.012, 0.035),
        beard=draw.random() < 0.25,
        glasses=draw.random() < 0.2,
    )


def _draw_pose(draw: random.Random) -> _Pose:
    return _Pose(
        shift=(draw.uniform(-0.025, 0.025), draw.uniform(-0.025, 0.025)),
        roll=draw.uniform(-0.09, 0.09),
        size=draw.uniform(0.95, 1.05),
        turn=draw.uniform(-0.03, 0.03),
        smile=draw.uniform(-0.02, 0.05),
        eyelids=draw.uniform(0.55, 1.0),
        brightness=draw.uniform(0.75, 1.2),
        contrast=draw.uniform(0.85, 1.15),
        background=(draw.randrange(40, 220), draw.randrange(40, 220), draw.randrange(40, 220)),
    )


class _Painter:
    """Paints one subject in one pose, from back to front, in coordinates in [0, 1] that the pose transforms."""

    def __init__(self, draw: ImageDraw.ImageDraw, subject: _Subject, pose: _Pose, side: int) -> None:
        self._draw = draw
        self._subject = subject
        self._pose = pose
        self._side = side

    def paint(self) -> None:
        self._paint_head()
        for outwards in (-1, 1):
            self._paint_eye(outwards)
        self._paint_nose()
        self._paint_mouth()

    def _paint_head(self) -> None:
        s = self._subject
        width, height = s.face_width, s.face_height
        self._ellipse((0.5, 0.46), width * s.hair_width, height * 1.05, s.hair)
        self._polygon(_oval((0.5, 0.54), width, height, s.chin), s.skin)
        if s.beard:
            jaw = [(x, y) for x, y in _oval((0.5, 0.54), width * 0.97, height * 0.98, s.chin) if y > 0.7]
            self._polygon(jaw, _mixed(s.skin, s.hair, 0.75))
        fringe = [(x, y) for x, y in _oval((0.5, 0.54), width * 1.01, height * 1.01, 1.0) if y < s.hair_line + 0.06]
        if len(fringe) > 2:
            self._polygon(fringe, s.hair)

    def _paint_eye(self, outwards: int) -> None:
        s = self._subject
        x, y = 0.5 + outwards * s.eye_distance + self._pose.turn, s.eye_height
        open_height = s.eye_size * 0.6 * self._pose.eyelids
        self._ellipse((x, y), s.eye_size, open_height, (245, 245, 245))
        self._ellipse((x + self._pose.turn / 3, y), s.eye_size * 0.45, min(open_height, s.eye_size * 0.45), s.iris)
        self._ellipse((x + self._pose.turn / 3, y), s.eye_size * 0.2, min(open_height, s.eye_size * 0.2), (10, 10, 10))
        brow_y, rise = y - s.brow_lift, s.brow_slope * s.eye_size
        inner, outer = (x - outwards * s.eye_size, brow_y + rise), (x + outwards * s.eye_size * 1.2, brow_y - rise)
        self._line([inner, (x, brow_y - 0.012), outer], s.hair, s.brow_weight)
        if s.glasses:
            self._line(_oval((x, y), s.eye_size * 1.7, s.eye_size * 1.4, 1.0), (30, 30, 34), 0.014)
            self._line([(0.5 + self._pose.turn, y), (x - outwards * s.eye_size * 1.7, y)], (30, 30, 34), 0.014)

    def _paint_nose(self) -> None:
        s = self._subject
        x, top = 0.5 + 1.5 * self._pose.turn, s.eye_height + 0.03
        tip = top + s.nose_length
        shade = _mixed(s.skin, (60, 30, 20), 0.3)
        self._line([(x - s.nose_width * 0.3, top), (x - s.nose_width, tip), (x + s.nose_width, tip)], shade, 0.016)
        for side in (-1, 1):
            self._ellipse((x + side * s.nose_width * 0.5, tip), 0.012, 0.008, _mixed(shade, (0, 0, 0), 0.4))

    def _paint_mouth(self) -> None:
        s = self._subject
        x, y, smile = 0.5 + self._pose.turn, s.mouth_height, self._pose.smile
        corners = ((x - s.mouth_width, y - smile), (x + s.mouth_width, y - smile))
        upper, lower = (x, y - s.lip_thickness), (x, y + s.lip_thickness * 1.5 + smile * 0.5)
        self._polygon([corners[0], upper, corners[1], lower], s.lips)
        self._line([corners[0], (x, y + smile * 0.3), corners[1]], _mixed(s.lips, (20, 0, 0), 0.5), 0.01)

    def _placed(self, point: Point) -> Point:
        """Transform a point of the upright face to pixels: roll, scale and shift about the centre."""
        x, y = ((coordinate - 0.5) * self._pose.size for coordinate in point)
        cosine, sine = math.cos(self._pose.roll), math.sin(self._pose.roll)
        rolled = (x * cosine - y * sine, x * sine + y * cosine)
        return tuple(  # type: ignore[return-value]
            (coordinate + 0.5 + shift) * self._side for coordinate, shift in zip(rolled, self._pose.shift, strict=True)
        )

    def _polygon(self, points: list[Point], colour: Colour) -> None:
        self._draw.polygon([self._placed(point) for point in points], fill=colour)

    def _ellipse(self, centre: Point, half_width: float, half_height: float, colour: Colour) -> None:
        self._polygon(_oval(centre, half_width, half_height, 1.0), colour)

    def _line(self, points: list[Point], colour: Colour, weight: float) -> None:
        width = max(1, round(weight * self._side))
        self._draw.line([self._placed(point) for point in points], fill=colour, width=width, joint="curve")


def _oval(centre: Point, half_width: float, half_height: float, chin: float) -> list[Point]:
    """Return an ellipse whose lower half narrows to a chin: 1 is an ellipse, less is pointed."""
    points = []
    for step in range(72):
        angle = step * math.tau / 72
        x, y = math.cos(angle), math.sin(angle)
        narrowing = 1 - (1 - chin) * max(0.0, y) ** 2 * 0.6
        points.append((centre[0] + half_width * x * narrowing, centre[1] + half_height * y))
    return points


def _mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two colours, with `share` of the second."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def _shifted(colour: Colour, by: float) -> Colour:
    return tuple(max(0, min(255, round(channel + by))) for channel in colour)  # type: ignore[return-value]
