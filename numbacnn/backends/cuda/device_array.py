"""Arrays of the device that a launch can take without asking them anything: numba-cuda's own, with what launches need kept on them.

A launch of a kernel needs an array's type and the words that describe it. A step reshapes and launches with the same arrays again and
again, so each array keeps its type, its words and its reshaped views; and a slice of the first axis is made without numba-cuda's geometry
of extents, which takes the host longer than a launch.
"""

import functools
import math
from typing import Any


def device_array_class(base: Any) -> Any:
    """The class of arrays on the device, derived from numba-cuda's: whatever takes those takes these."""

    class DeviceArray(base):
        """An array in the GPU's memory.

        Whatever refers to the memory keeps it: views share its owner, ``gpu_data``, or hold the array that they are slices of.
        """

        @functools.cached_property
        def kind(self) -> str:
            """The name of Numba's type, "array(float32, 1d, C)" say."""
            return str(self._numba_type_)

        @functools.cached_property
        def address(self) -> int:
            """Of the first value; 0 without values."""
            return int(self.device_ctypes_pointer.value or 0)

        @functools.cached_property
        def words(self) -> tuple[int, ...]:
            """The array as kernels take it: two words that are 0, the number of values, their bytes, the address, shape and strides."""
            return 0, 0, self.size, self.dtype.itemsize, self.address, *self.shape, *self.strides

        @functools.cached_property
        def _views(self) -> dict[Any, Any]:
            return {}

        def reshape(self, *shape: Any, **options: Any) -> Any:
            """A view of another shape, made once: a view never changes."""
            if options:
                return super().reshape(*shape, **options)
            view = self._views.get(shape)
            if view is None:
                view = self._views[shape] = super().reshape(*shape)
            return view

        def view(self, dtype: Any) -> Any:
            """The same memory, read as another type: numba-cuda gives an array of its own class."""
            view = super().view(dtype)
            return type(self)(view.shape, view.strides, view.dtype, view.stream, view.gpu_data)

        def __getitem__(self, item: Any) -> Any:
            if item.__class__ is slice and item.step is None and self.size and self.kind.endswith(" C)"):
                start, stop, _ = item.indices(self.shape[0])
                if start < stop:
                    return self._rows(start, stop)
            return super().__getitem__(item)

        def _rows(self, start: int, stop: int) -> Any:
            """self[start:stop], without the parts that only copies need: ``gpu_data`` and ``_dummy`` are made when asked for."""
            view = object.__new__(type(self))
            view.shape, view.strides, view.dtype = (stop - start, *self.shape[1:]), self.strides, self.dtype
            view.ndim, view.stream = self.ndim, self.stream
            view.size = math.prod(view.shape)
            view.alloc_size = view.size * self.dtype.itemsize
            view.address, view.kind = self.address + start * self.strides[0], self.kind
            view._whole, view._start = self, start
            return view

        @functools.cached_property
        def gpu_data(self) -> Any:
            """The owner of the memory. Of an array that is no slice, its constructor sets it."""
            first = self._start * self.strides[0]
            return self._whole.gpu_data.view(first, first + self.alloc_size)

        @functools.cached_property
        def _dummy(self) -> Any:
            """numba-cuda's geometry; see ``gpu_data``."""
            return self._whole._dummy[self._start : self._start + self.shape[0]]

    return DeviceArray
