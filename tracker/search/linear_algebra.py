"""What BLAS and LAPACK give here: proposals of samplers that factor matrices hang on the kernels that they take."""

from __future__ import annotations

from tracker.canonical import digest_arrays


def blas_probe() -> str:
    """Digest (16 hex digits) of products and factors of fixed float64 matrices, as NumPy's BLAS and SciPy's give them."""
    import numpy as np
    from scipy import linalg

    words = np.random.SFC64(20260101).random_raw(2 * 40 * 40)
    a, b = (words / 2.0**63 - 1.0).reshape(2, 40, 40)
    spread = a @ a.T + np.eye(40)
    factor = linalg.cholesky(spread, lower=True)
    found = [a @ b, a @ b[0], np.linalg.cholesky(spread), np.linalg.solve(spread, b), *np.linalg.eigh(spread)]
    found += [factor, linalg.solve_triangular(factor, b, lower=True), *linalg.eigh(spread)]
    return digest_arrays({f"{place:02d}": values for place, values in enumerate(found)})[:16]
