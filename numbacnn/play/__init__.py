"""A page in the browser: draw a digit, and watch what trained networks make of it.

    distortions   five sliders move the picture that the networks see
    neighbours    the nearest training images
    player        what the page shows, computed: answers, maps of every layer, the sum of one cell
    server        HTTP for this machine alone
    page.html     the page: one file, which loads nothing else

A saved picture has the same answer in ``predict``.
"""
