"""Settings shared by all tests."""

import pytest
import torch

torch.set_num_threads(1)  # small networks; two workers share two cores


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)
