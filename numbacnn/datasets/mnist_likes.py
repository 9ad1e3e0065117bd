"""Fashion-MNIST and Kuzushiji-MNIST: data sets in MNIST's form, under the same file names, in folders of their own.

Sources: Han Xiao, Kashif Rasul, Roland Vollgraf, "Fashion-MNIST", 2017 (arXiv:1708.07747), MIT licence. Tarin Clanuwat et al., "Deep
Learning for Classical Japanese Literature", 2018 (arXiv:1812.01718), CC BY-SA 4.0. Sizes and checksums are those of
tensorflow/datasets (url_checksums/fashion_mnist.txt, kmnist.txt); nobody has published any of the unpacked files.
"""

from numbacnn.datasets.mnist import FILES, FourFiles, MnistFile

FASHION_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
KMNIST_NAMES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
"""The syllables, in Hepburn's romanisation."""

WITHOUT_NETWORK = "--dataset digits (drawn by the program), or --data-dir with a folder {} that has the four files."


def _files(*sizes_and_digests: tuple[int, str]) -> dict[str, MnistFile]:
    """MNIST's names and unpacked sizes with other contents."""
    return {
        key: MnistFile(file.name, size, digest, file.raw_bytes, None, file.magic)
        for (key, file), (size, digest) in zip(FILES.items(), sizes_and_digests, strict=True)
    }


FASHION_MNIST = FourFiles(
    "fashion-mnist",
    "Fashion-MNIST",
    _files(
        (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist", "fashion"),
    (
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    "NUMBACNN_FASHION_MNIST_MIRRORS",
    WITHOUT_NETWORK.format("fashion-mnist/"),
    "fashion-mnist",
)

KMNIST = FourFiles(
    "kmnist",
    "KMNIST",
    _files(
        (18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        (29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        (3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        (5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    ),
    ("kmnist", "KMNIST/raw", "KMNIST"),
    ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    "NUMBACNN_KMNIST_MIRRORS",
    WITHOUT_NETWORK.format("kmnist/"),
    "kmnist",
)
