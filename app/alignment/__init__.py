"""Faces found in photos and moved to the template that EdgeFace was trained on.

    detector.py    BlazeFace: boxes and six rough keypoints of the faces in one square of a photo
    mesh.py        MediaPipe face mesh: 468 landmarks of a face, five of which the template has
    finder.py      the two together, over a whole photo
    template.py    the five points, the least-squares similarity transform, the distance from the template
    warp.py        pixels moved by such a transform
    photos.py      many photos, on all cores: aligned, or left out and why; alignment.json
    contact_sheet.py   every aligned face with its name, to look at
    distance.py    how far the faces of a dataset are from the template

All but errors.py and installed.py need the extra: `pip install .[align]`. Import them through `installed.py`.
"""
