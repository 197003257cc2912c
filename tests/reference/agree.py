"""Agreement as the specification means it: |a - b| <= tol (1 + |b|)."""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}


def assert_agrees(actual: Tensor, expected: object, tolerance: float | None = None) -> None:
    """`expected` is a tensor or nested lists; the tolerance is that of the actual's dtype unless given."""
    wanted = torch.as_tensor(expected, dtype=torch.float64)
    assert actual.shape == wanted.shape
    limit = TOLERANCES[actual.dtype] if tolerance is None else tolerance
    error = (actual.detach().double() - wanted).abs() / (1 + wanted.abs())
    assert not error.isnan().any()
    assert (error <= limit).all(), f"off by {error.max():.3g}\n{actual}\n{wanted}"
