#!/usr/bin/env python3
"""Makes tests/golden/npy_*.npy and npz_*.npz with NumPy, for tests/io/test_npy.c.

usage: scripts/golden_npy.py [FOLDER]      needs numpy; the files are checked in
       scripts/golden_npy.py --check FOLDER
           says whether NumPy finds in FOLDER what tests/io/test_npy.c is to write there

Element i of each array, in C order, is i - 3 as far as its type can say so (unsigned and bool: i).
"""
import pathlib
import sys

import numpy as np

TYPES = ["f2", "f4", "f8", "i4", "i8", "u1", "u4", "b1"]


def array(dtype, shape=(2, 3, 4)):
    count = int(np.prod(shape))
    first = 0 if dtype[-2] in "ub" else -3
    if dtype[-2] == "b":
        return (np.arange(count) % 3 == 0).reshape(shape)
    return (np.arange(count) + first).astype(dtype).reshape(shape)


def make(folder):
    for kind in TYPES:
        np.save(folder / f"npy_{kind}.npy", array(kind))
    np.save(folder / "npy_big.npy", array(">f4"))
    np.save(folder / "npy_fortran.npy", np.asfortranarray(array("<i4")))
    np.save(folder / "npy_big_fortran.npy", np.asfortranarray(array(">f8")))
    np.save(folder / "npy_scalar.npy", np.float32(2.5))
    np.save(folder / "npy_vector.npy", array("<i4", (5,)))
    np.save(folder / "npy_empty.npy", array("<f4", (0, 3)))
    for major in 2, 3:
        with open(folder / f"npy_version{major}.npy", "wb") as file:
            np.lib.format.write_array(file, array("<f4"), (major, 0))
    np.save(folder / "npy_complex.npy", array("f4").astype("c8"))
    np.save(folder / "npy_record.npy", np.zeros(2, [("a", "f4"), ("b", "i4")]))
    columns = dict(x=array("f4", (6, 2)), label=array("u1", (6,)), f=np.asfortranarray(array("i8", (6, 2, 2))))
    np.savez(folder / "npz_stored.npz", **columns)
    np.savez_compressed(folder / "npz_deflated.npz", **columns)
    np.savez(folder / "npz_uneven.npz", x=array("f4", (6, 2)), label=array("u1", (5,)))
    np.savez(folder / "npz_scalar.npz", x=array("f4", (6, 2)), rate=np.float32(2.5))


def check(folder):
    for kind in TYPES:
        read = np.load(folder / f"{kind}.npy")
        assert read.dtype == np.dtype(kind) and read.flags.c_contiguous, kind
        assert np.array_equal(read, array(kind)), kind
    assert np.load(folder / "scalar.npy").shape == () and np.load(folder / "scalar.npy") == 2.5
    assert np.array_equal(np.load(folder / "vector.npy"), array("i4", (5,)))
    assert np.load(folder / "empty.npy").shape == (0, 3)
    print(f"numpy {np.__version__} read {len(TYPES) + 3} files")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(pathlib.Path(sys.argv[2]))
    else:
        default = pathlib.Path(__file__).resolve().parent.parent / "tests/golden"
        make(pathlib.Path(sys.argv[1]) if sys.argv[1:] else default)
