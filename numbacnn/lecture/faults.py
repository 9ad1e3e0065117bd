"""Where the slides print something that is not so, and what is so."""

from typing import NamedTuple


class Fault(NamedTuple):
    """One fault of the slides.

    Args:
        id: a letter.
        slide: the title of the slide.
        printed: what the slide has.
        true: what is so.
        why: how that is known, or what follows from it.
    """

    id: str
    slide: str
    printed: str
    true: str
    why: str


FAULTS = (
    Fault(
        "a", "Some Improvement (5/5)", "model.compile(..., callbacks=[lr_decay_callback])", "model.fit(..., callbacks=[lr_decay_callback])",
        "Keras's compile takes no callbacks and raises a TypeError; without the callback the learning rate stays 0.001.",
    ),
    Fault(
        "b", "Some Improvement (5/5)", "model.fit(x_train, ...) with pixels of 0...255", "pixels divided by 255",
        "The improved dense network reaches 98.0 % on scaled pixels, and 91.3 % on raw ones.",
    ),
    Fault(
        "c", "CNN in TensorFlow (7/7)", "a model alone: neither compile nor fit, for images (60000, 28, 28)",
        "compile and fit as before, on images (60000, 28, 28, 1)",
        "A convolution reads a channel axis, which load_data does not give.",
    ),
    Fault(
        "d", "What Computers See", "9 rows of 8 pixels", "9 rows of 9 pixels",
        "Each row lost a -1, not always of the same column: 9x9 images give the 7x7 maps of the later slides.",
    ),
    Fault(
        "e", "Repeat For All the Filtered Images", "29 of 147 cells of the rectified maps as 0.33", "0.11 in 21 of them, 0.55 in 8",
        "X and its first filter are symmetric, the printed map is not; and pooling the printed maps misses 12 of 48 pooled cells.",
    ),
    Fault(
        "f", "How Good the Predictions Are?", "probabilities that add up to 2.3", "probabilities that add up to 1",
        "They are no softmax. As printed the loss is 0.105, normalised it is 0.938.",
    ),
    Fault(
        "g", "Some Improvement (4/5)", "dropout of 0.4 in the picture", "dropout of 0.2 in the code",
        "The rate is free; the network dense128 follows the code.",
    ),
    Fault(
        "h", "CNN in TensorFlow (4/7)", "convolution 2 without an activation, in the list", "ReLU, as in the code below it",
        "The code says activation='relu' for both convolutions.",
    ),
    Fault("i", "Training CNN (4/4)", "Update the wights W", "Update the weights W", "A slip of the keyboard."),
    Fault(
        "j", "Training CNN (3/4)", "x, w in the picture, X, W in the formulas before", "one letter for one thing",
        "Both mean the same input and the same filter.",
    ),
    Fault(
        "k", "Filters Example (2/3)", "(50*30)+(50*30)+(50*30)+(20*30)+(50*30)", "(50*30)+(20*30)+(50*30)+(50*30)+(50*30)",
        "The sum of 6600 is right; row by row, the 20 is in the second product.",
    ),
    Fault(
        "l", "One more example", "input tensor [7, 7, 3]", "a 5x5x3 image in a border of zeros",
        "The demo greys the border. A real 7x7x3 image with padding 'same' and stride 2 would give 4x4, not 3x3.",
    ),
    Fault(
        "m", "Convolutional Layer (4/4)", "a filter size of f_w x f_h, with f_h and f_w as height and width", "f_h x f_w: height first",
        "Arrays have rows before columns, and so do kernels here.",
    ),
    Fault(
        "n", "Fully Connected Layer", "a vote of .92 for X, in the picture's original", "0.912",
        "(0.9 + 0.87 + 0.96 + 0.89 + 0.94) / 5 = 0.912.",
    ),
)  # fmt: skip
"""In the order of their letters."""
