"""The CUDA device. ``_jit`` alone imports ``numba.cuda``; each other file is the twin of the CPU's file of that name."""
