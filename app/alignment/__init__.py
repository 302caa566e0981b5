"""Finds faces in photos and warps them to the template that EdgeFace was trained on.

    detector.py    BlazeFace: boxes and six rough keypoints of the faces in one square of a photo
    mesh.py        MediaPipe face mesh: 468 landmarks of a face, five of which the template has
    finder.py      both together, over a whole photo
    template.py    the five points, the least-squares similarity transform, the distance from the template
    warp.py        images warped by such a transform
    photos.py      the face of each photo; alignment.json reports the aligned and the skipped ones
    taken_face.py  what a photo yields: a face, or why not
    contact_sheet.py   pages of all aligned faces with their names
    distance.py    distance of a dataset's faces from the template

All modules except errors.py, installed.py and taken_face.py need the extra `align` (`pip install .[align]`). Import
them through `installed.py`.
"""
