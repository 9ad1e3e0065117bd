"""The eyes: what a network makes of one image, each view a number that can be recomputed.

    tracing   every layer's output, described
    cell      one output as the sum of its products
    heat      the pixels that the answer depends on: by occlusion, or by the gradient
    tiles     outputs and filters as small pictures
    drawing   the blocks of a page: texts, tiles, bars
    sheet     the pages, as PNG files

The training images most like it are found by ``numbacnn.features``.
"""
