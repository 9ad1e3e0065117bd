"""The names of data sets, apart from the code that loads them: ``--help`` needs neither numpy nor numba."""

DATASETS = ("mnist", "digits", "fashion-mnist", "kmnist", "emnist-letters", "emnist-balanced", "emnist-digits")

DOWNLOADS = {
    "mnist": "11 MB", "fashion-mnist": "31 MB", "kmnist": "21 MB", "emnist-letters": "562 MB, once for all of EMNIST",
    "emnist-balanced": "562 MB", "emnist-digits": "562 MB",
}  # fmt: skip
"""The data sets that are downloaded, and how much comes."""
