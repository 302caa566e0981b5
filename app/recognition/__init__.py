"""Embeds the faces of photos by ONNX models, in limited children (app/isolated): the service imports no network.

embedding.py   `embed_photos(models, photos)`, for the service
task.py        the task and its types; the modules below run in a child alone
reading.py     the task: photos to faces, faces to embeddings
faces.py       the face of a photo: found and aligned, or a small crop enlarged
resampling.py  PyTorch's bicubic interpolation, in numpy
errors.py      what is wrong with a photo
turns.py       how many requests are read and wait at a time
"""
