"""Builds a dataset from a folder of photos of people.

photos.py      the files below the folder: photos and what is left out
layout.py      folders that are laid out in another way
names.py       names of subjects and images in the dataset
faces.py       each photo read once; its HR and VLR face
splits.py      train, val and test; folds
writing.py     the parts, their check and the manifest
build.py       all of it, in order
"""

from app.dataset_build.build import SplitBy, build_dataset, build_folds
from app.dataset_build.rules import Listener, Rules
from app.dataset_build.splits import Part, split_folds, split_subjects
from app.dataset_build.writing import BuiltDataset

__all__ = [
    "BuiltDataset",
    "Listener",
    "Part",
    "Rules",
    "SplitBy",
    "build_dataset",
    "build_folds",
    "split_folds",
    "split_subjects",
]
