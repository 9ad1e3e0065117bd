"""What the distortion of training images is made of, the same on every device: see ``cpu/augment.py`` for why."""

STREAM = 2**32 - 1  # where dropout has the layer: no graph has so many

CELLS = 4  # the grid spans the image in so many cells along each axis, 7 pixels each in MNIST
POINTS = CELLS + 3  # the spline needs a point before the image and one after it

# draws of one image: a number in [-1, 1) each, and then one for each axis of each grid point
ROTATION, SCALE_Y, SCALE_X, SHEAR, SHIFT_Y, SHIFT_X, ELASTIC = range(7)
DRAWS = ELASTIC + 2 * POINTS * POINTS
