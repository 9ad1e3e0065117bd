"""How a picture is brought into the form of the images that a network was trained on: a part of each trained network."""

DIGITS = "digits"
"""Writing: the ink bright on black, in a box, centred by mass, as in MNIST."""

PHOTOGRAPHS = "photographs"
"""Anything else: the whole picture, scaled to the images' size, in grey or in colour as they are."""

FORMS = (DIGITS, PHOTOGRAPHS)
