"""The nine terms of the lecture's summary."""

from typing import NamedTuple


class Term(NamedTuple):
    """A term.

    Args:
        meaning: two sentences.
        slide: the title of the slide that introduces it.
        chapters: where to read on, in the lecture's two books.
        command: a command line that shows it.
    """

    meaning: str
    slide: str
    chapters: str
    command: str


_CONVOLUTION = "Goodfellow 9.1; Geron 14, Convolutional Layers"
_MOTIVES = "Goodfellow 9.2; Geron 14, Convolutional Layers"
_FILTERS = "Goodfellow 9.1; Geron 14, Filters"

TERMS = {
    "receptive field": Term(
        "The part of the input that a neuron reads. It grows from layer to layer: in the lecture's CNN from 5x5 to 16x16 pixels.",
        "Receptive Fields and Filters", _MOTIVES, "numbacnn shapes cnn",
    ),
    "filter": Term(
        "A small set of weights that is multiplied with each part of an image in turn. The sum of the products is large where the part "
        "looks like the filter.",
        "Receptive Fields and Filters", _FILTERS, "numbacnn lecture verify --section filters",
    ),
    "convolution": Term(
        "Slides filters over an image and writes the sum of products at each place into a map. The lecture's formulas, like all "
        "frameworks, do not turn the filter, which mathematics calls a cross-correlation.",
        "Convolution Operation", _CONVOLUTION, "numbacnn lecture xo --cell diag_down,0,0",
    ),
    "padding": Term(
        "Zeros around an image, so that filters also reach its border. 'same' adds as many as keep height and width at stride 1, "
        "'valid' adds none.",
        "Padding", "Goodfellow 9.5; Geron 14, Convolutional Layers", "numbacnn lecture backprop --padding same",
    ),
    "stride": Term(
        "The distance between two neighbouring places of a filter. A stride of 2 halves height and width.",
        "Stride", "Goodfellow 9.5; Geron 14, Convolutional Layers", "numbacnn shapes cs231n",
    ),
    "pooling": Term(
        "Replaces each window of a map by its largest value or its mean. It has no weights, and makes later layers smaller.",
        "Pooling Layer (1/2)", "Goodfellow 9.3; Geron 14, Pooling Layers", "numbacnn lecture xo",
    ),
    "flattening": Term(
        "Writes the values of all maps into one vector, which a dense layer can read. No value is lost, and none is added.",
        "Flattening", "Geron 14, CNN Architectures", "numbacnn shapes cnn",
    ),
    "dropout": Term(
        "Sets a random share of a layer's values to 0 in each training step, and scales the others so that their mean stays. "
        "Predictions drop nothing.",
        "Some Improvement (4/5)", "Goodfellow 7.12; Geron 11, Dropout", "numbacnn shapes dense128",
    ),
    "dense": Term(
        "A layer in which every neuron reads every input, each with a weight of its own. The lecture's CNN keeps 98 % of its weights "
        "in one such layer.",
        "CNN Components (1/2)", "Goodfellow 6; Geron 14, CNN Architectures", "numbacnn shapes cnn",
    ),
}  # fmt: skip
"""In the order of the slide."""
