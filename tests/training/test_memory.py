import ctypes
import platform
import resource

import pytest
import torch

from elfzoo.training.memory import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no such settings")
def test_a_large_tensor_takes_the_pages_of_the_one_before():
    """Without the setting each one of 80 MB faults in some twenty thousand pages."""

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(20_000_000)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    fresh = faults()
    keep_freed_memory()
    kept = min(faults() for _ in range(6))  # pages may be taken back; without the setting all fault
    ctypes.CDLL(None).mallopt(-4, 65536)  # the default number of mappings, for the tests that follow
    assert kept < 0.1 * max(fresh, 10_000)
