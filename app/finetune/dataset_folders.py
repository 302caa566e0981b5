"""Names of the folders of a dataset's parts."""

TRAIN_FOLDER, VAL_FOLDER, TEST_FOLDER = "train_processed", "val_processed", "test_processed"
"""No training reads the test part."""

PART_FOLDERS = {"train": TRAIN_FOLDER, "val": VAL_FOLDER, "test": TEST_FOLDER}
