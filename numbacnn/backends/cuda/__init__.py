"""The CUDA device. Only ``_jit`` imports ``numba.cuda``; files in ``plain`` are twins of the CPU's files of the same name."""
