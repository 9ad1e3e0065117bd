"""Bare memory accesses: single values, and four neighbours in one instruction.

Numba's own ``x[i]`` counts negative indices from the end, which costs instructions at each access, and it moves one value at a time. In
the inner loop of a matrix product both would cost more than the arithmetic. These functions take ``i`` from the start of memory, never
negative, and check nothing.

    load(x, i)              x[i]
    load_near(x, i, step)   x[i + step], where step is int32: the address of x[i] is computed once for several steps
    load2(x, i)             (x[i], x[i+1]); i is a multiple of 2, and x begins at a multiple of 8 bytes
    load4(x, i)             (x[i], ..., x[i+3]); i is a multiple of 4, and x begins at a multiple of 16 bytes
    store(x, i, value)      x[i] = value
    store4(x, i, values)    x[i], ..., x[i+3] = values, where the same holds
    is_within(i, n)         0 <= i < n, in one comparison

In the simulator they are ordinary Python, which checks every access.
"""

from typing import Any

from numbacnn.backends.cuda._jit import SIMULATED, emitting

VECTOR = 16
"""Bytes of the longest access. Memory from the driver and from the arena begins at a multiple of it."""

WIDTH = 4
"""Values of the longest vector."""

if SIMULATED:
    ALIGNED = None
else:
    ALIGNED = VECTOR
"""The ``alignment`` of arrays in shared memory. The simulator has none."""


def _define_simulated() -> tuple[Any, ...]:
    def checked(x: Any, i: Any, count: int) -> int:
        if i % count or not 0 <= i <= x.size - count:
            raise IndexError(f"{count} values from {i} on, of {x.size}")
        return int(i)

    def load(x: Any, i: Any) -> Any:
        return x[checked(x, i, 1)]

    def load_near(x: Any, i: Any, step: Any) -> Any:
        return x[checked(x, int(i) + int(step), 1)]

    def load2(x: Any, i: Any) -> Any:
        i = checked(x, i, 2)
        return x[i], x[i + 1]

    def load4(x: Any, i: Any) -> Any:
        i = checked(x, i, 4)
        return x[i], x[i + 1], x[i + 2], x[i + 3]

    def store(x: Any, i: Any, value: Any) -> None:
        x[checked(x, i, 1)] = value

    def store4(x: Any, i: Any, values: Any) -> None:
        i = checked(x, i, 4)
        for s in range(4):
            x[i + s] = values[s]

    def is_within(i: Any, n: Any) -> bool:
        return bool(0 <= i < n)

    return load, load_near, load2, load4, store, store4, is_within


def _define_compiled() -> tuple[Any, ...]:
    ir, types, intrinsic = emitting()

    def pointer_to(context: Any, builder: Any, signature: Any, arguments: Any, count: int) -> Any:
        """The address of x[i], as a pointer to ``count`` values."""
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.gep(data, [context.cast(builder, arguments[1], signature.args[1], types.int64)])
        if count == 1:
            return pointer
        return builder.bitcast(pointer, ir.VectorType(pointer.type.pointee, count).as_pointer())

    def loader(count: int) -> Any:
        def load(typing_context: Any, x: Any, i: Any) -> Any:
            def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                pointer = pointer_to(context, builder, signature, arguments, count)
                if count == 1:
                    return builder.load(pointer)
                vector = builder.load(pointer, align=count * signature.args[0].dtype.bitwidth // 8)
                lanes = [builder.extract_element(vector, ir.Constant(ir.IntType(32), lane)) for lane in range(count)]
                return context.make_tuple(builder, signature.return_type, lanes)

            return (x.dtype if count == 1 else types.UniTuple(x.dtype, count))(x, i), emit

        return intrinsic(load)

    def storer(count: int) -> Any:
        def store(typing_context: Any, x: Any, i: Any, value: Any) -> Any:
            def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                pointer = pointer_to(context, builder, signature, arguments, count)
                if count == 1:
                    builder.store(arguments[2], pointer)
                    return context.get_dummy_value()
                vector = ir.Constant(pointer.type.pointee, ir.Undefined)
                for lane in range(count):
                    value = builder.extract_value(arguments[2], lane)
                    vector = builder.insert_element(vector, value, ir.Constant(ir.IntType(32), lane))
                builder.store(vector, pointer, align=count * signature.args[0].dtype.bitwidth // 8)
                return context.get_dummy_value()

            return types.void(x, i, x.dtype if count == 1 else types.UniTuple(x.dtype, count)), emit

        return intrinsic(store)

    @intrinsic
    def load_near(typing_context: Any, x: Any, i: Any, step: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            near, size = pointer_to(context, builder, signature, arguments, 1), signature.args[0].dtype.bitwidth // 8
            word, byte = ir.IntType(64), ir.IntType(8).as_pointer()
            # In assembly, as the compiler would add each step to ``i`` and multiply the sum: three instructions for each load, not one.
            scaled = ir.InlineAsm(ir.FunctionType(word, [ir.IntType(32)]), f"mul.wide.s32 $0, $1, {size};", "=l,r")
            far = builder.gep(builder.bitcast(near, byte), [builder.call(scaled, [arguments[2]])])
            return builder.load(builder.bitcast(far, near.type))

        return x.dtype(x, i, types.int32), emit

    @intrinsic
    def is_within(typing_context: Any, i: Any, n: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.icmp_unsigned("<", *arguments)

        return types.boolean(types.int32, types.int32), emit

    return loader(1), load_near, loader(2), loader(4), storer(1), storer(4), is_within


load, load_near, load2, load4, store, store4, is_within = _define_simulated() if SIMULATED else _define_compiled()
