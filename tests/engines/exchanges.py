"""A program on several ranks: what they exchange, and the tree's sums, against the same in one process. It prints "equal" on each."""

import numpy as np

from numbacnn.engines.launch import find
from numbacnn.engines.mpi import MpiRanks
from numbacnn.groups import group_count


def tree(sums: list[np.ndarray]) -> np.ndarray:
    """The sum of as many arrays as a power of two, by halves."""
    half = len(sums) // 2
    return tree(sums[:half]) + tree(sums[half:]) if half else sums[0]


def main() -> None:
    place = find()
    assert place is not None
    ranks = MpiRanks(place)
    generator = np.random.default_rng(5)
    for batch in (8, 9, 30, 100, 200):
        groups = group_count(batch)
        for shape in ((3,), (5, 7), (70, 70), (13, 1001)):
            sums = [generator.standard_normal(shape).astype(np.float32) for _ in range(groups)]
            expected = tree(sums)
            rows = generator.standard_normal((batch, 3))
            before = sum(branch.groups for share in ranks.shares(batch)[: ranks.rank] for branch in share.branches)
            with ranks.step(batch) as share:
                own = []
                for branch in share.branches:
                    own.append(tree(sums[before : before + branch.groups]))
                    before += branch.groups
                total = share.total_of(own)
                assert (total.shape, total.tobytes()) == (shape, expected.tobytes()), (batch, shape)
                assert np.array_equal(share.gather(rows[share.slice]), rows)
    value = {"pixels": np.arange(100_000, dtype=np.uint8), "few": [1, np.zeros((0, 3))], "turned": np.arange(6.0).reshape(2, 3).T}
    received = ranks.broadcast(value if ranks.rank == 0 else None)
    assert np.array_equal(received["pixels"], value["pixels"])
    assert received["pixels"].flags.writeable
    assert received["few"][1].shape == (0, 3)
    assert np.array_equal(received["turned"], value["turned"])
    assert ranks.gather_objects("x" * ranks.rank) == ["x" * rank for rank in range(ranks.size)]
    assert ranks.largest(ranks.rank) == ranks.size - 1
    ranks.finish()
    print("equal", flush=True)


if __name__ == "__main__":
    main()
