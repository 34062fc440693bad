"""The compiled kernels. Optional: without a C compiler elfzoo installs and predicts on its slower reference."""

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel

# no -ffast-math: linking with it would switch denormals off for the whole process
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fvisibility=hidden"]


class StableABIWheel(bdist_wheel):
    """One wheel for every Python from 3.11 on."""

    def get_tag(self):
        python, abi, platform = super().get_tag()
        return ("cp311", "abi3", platform) if python.startswith("cp") else (python, abi, platform)


def kernel(name, folder, sources, headers=()):
    return Extension(
        name,
        sources=[f"{folder}/{source}.c" for source in sources],
        depends=[f"{folder}/{header}.h" for header in headers],
        extra_compile_args=FLAGS,
        py_limited_api=True,
        optional=True,
    )


SOURCES = ["module", "baseline", "avx2", "avx512"]
HEADERS = ["kernel", "kernel_impl", "fields_impl", "orbitals_impl", "latent_impl", "spline_impl", "vectors"]

setup(
    ext_modules=[
        kernel("elfzoo.transforms._kernel", "elfzoo/transforms/native", SOURCES, HEADERS),
        kernel("elfzoo.io._orbits", "elfzoo/io/native", ["orbits"]),
        kernel("elfzoo.analysis._percolation", "elfzoo/analysis/native", ["percolation"]),
        kernel("elfzoo.analysis._critical", "elfzoo/analysis/native", ["critical", "flow"], ["boxes", "spline"]),
    ],
    cmdclass={"bdist_wheel": StableABIWheel},
)
