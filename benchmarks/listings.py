"""What the lecture's listings reach, as they are printed and with pixels scaled to 0...1: ``python benchmarks/listings.py``.

Needs MNIST in data/ or NUMBACNN_DATA_DIR. The listings are those of tests/lecture_listings.txt, cut out of the slides. Two of the slides'
faults are mended, or nothing would run: the callback is given to ``fit``, and ``math`` is imported. The convolutional network, for which
the slides have no training, is compiled and trained as the network before it, but without a decay of the rate.
"""

import math
from pathlib import Path

import numbacnn as tf

LISTINGS = dict(
    part.split("\n", 1)
    for part in (Path(__file__).parents[1] / "tests" / "lecture_listings.txt").read_text(encoding="utf-8").split("=== ")
    if part.strip()
)

DATA = "mnist = tf.keras.datasets.mnist\n(x_train, y_train), (x_test, y_test) = mnist.load_data()\n"
SCALED = "x_train, x_test = x_train / 255, x_test / 255\n"
IMPROVED = (
    "".join(LISTINGS[name] for name in ("improved network", "learning rate", "training of the improved network"))
    .replace(",\n              callbacks=[lr_decay_callback])", ")")
    .replace("epochs=10)", "epochs=10, callbacks=[lr_decay_callback])")
)
CONVOLUTIONAL = (
    LISTINGS["convolutional network"]
    + "model.compile(optimizer='adam', loss='sparse_categorical_crossentropy', metrics=['accuracy'])\n"
    + "model.fit(x_train, y_train, batch_size=100, epochs={epochs})\n"
)

PROGRAMS = (
    ("softmax, pixels 0...255, 10 epochs", LISTINGS["softmax"]),
    ("softmax, pixels 0...1, 10 epochs", LISTINGS["softmax"].replace(DATA, DATA + SCALED)),
    ("improved network, pixels 0...255, 10 epochs", DATA + IMPROVED),
    ("improved network, pixels 0...1, 10 epochs", DATA + SCALED + IMPROVED),
    ("convolutional network, pixels 0...1, 1 epoch", DATA + SCALED + CONVOLUTIONAL.format(epochs=1)),
)


def main() -> None:
    """Run each program, and print the loss and the accuracy on the test images of its last lines."""
    for title, program in PROGRAMS:
        names = {"tf": tf, "math": math}
        exec(program, names)
        loss, accuracy = names["model"].evaluate(names["x_test"], names["y_test"], verbose=0)
        print(f"{title}: test loss {loss:.4f}, test accuracy {accuracy:.2%}", flush=True)


if __name__ == "__main__":
    main()
