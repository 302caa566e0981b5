"""Records of datasets: a folder is listed once, checked once, and compared by its modification times afterwards."""
