"""The compiled kernel. Optional: without a C compiler elfzoo installs and runs on its slower reference."""

from setuptools import Extension, setup
from wheel.bdist_wheel import bdist_wheel

SOURCES = ["module", "baseline", "avx2", "avx512"]


class StableABIWheel(bdist_wheel):
    """One wheel for every Python from 3.11 on."""

    def get_tag(self):
        python, abi, platform = super().get_tag()
        return ("cp311", "abi3", platform) if python.startswith("cp") else (python, abi, platform)


kernel = Extension(
    "elfzoo.transforms._kernel",
    sources=[f"elfzoo/transforms/native/{name}.c" for name in SOURCES],
    depends=[f"elfzoo/transforms/native/{name}.h" for name in ("kernel", "kernel_impl")],
    # no -ffast-math: linking with it would switch denormals off for the whole process
    extra_compile_args=["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fvisibility=hidden"],
    py_limited_api=True,
    optional=True,
)

setup(ext_modules=[kernel], cmdclass={"bdist_wheel": StableABIWheel})
