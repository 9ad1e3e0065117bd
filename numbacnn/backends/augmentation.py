"""Constants of the distortion of training images, shared by the devices; ``cpu/plain/augment.py`` explains them."""

STREAM = 2**32 - 1  # in the position of dropout's layer number, which no graph reaches

CELLS = 4  # of the grid along each axis: 7 pixels each in MNIST
POINTS = CELLS + 3  # the spline needs a point before the image and one after it

# indices of an image's draws, numbers in [-1, 1); from ELASTIC on, one for each axis of each grid point
ROTATION, SCALE_Y, SCALE_X, SHEAR, SHIFT_Y, SHIFT_X, ELASTIC = range(7)
DRAWS = ELASTIC + 2 * POINTS * POINTS
