/* Python sees an empty module; ctypes calls the symbols below, which releases the interpreter lock. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "kernel.h"

#define EXPORT __attribute__((visibility("default")))

/* What the processor can run: 0 baseline, 1 AVX2 with FMA, 2 AVX-512. */
EXPORT int elfzoo_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return 2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
    return 0;
}

#if defined(__x86_64__)
#define AT(level, name, ...) \
    ((level) >= 2 ? name##_avx512(__VA_ARGS__) : (level) == 1 ? name##_avx2(__VA_ARGS__) : name##_baseline(__VA_ARGS__))

/* Numbers below 1e-38 are zero until restore(): Gaussians have many of them, and a processor may take a hundred times as
   long for one as for others. Holds for the calling thread. */
static unsigned flush_tiny(void) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* results, and operands */
    return before;
}
static void restore(unsigned before) { _mm_setcsr(before); }
#else
#define AT(level, name, ...) ((void)(level), name##_baseline(__VA_ARGS__))
static unsigned flush_tiny(void) { return 0; }
static void restore(unsigned before) { (void)before; }
#endif

/* In all of the following, level: at most elfzoo_level(). */

/* See Kernel in kernel.h. */
EXPORT int elfzoo_run(int level, const Descriptor *d, const CellList *cells, const Network *net, const double *points,
                      long n, float *out) {
    unsigned before = flush_tiny();
    int failed = AT(level, elfzoo_run, d, cells, net, points, n, out);
    restore(before);
    return failed;
}

/* See FieldsKernel in kernel.h. */
EXPORT int elfzoo_fields(int level, const Fields *f, const CellList *cells, const float *const *tables, float reach,
                         const Network *net, const double *points, long n, float *out) {
    unsigned before = flush_tiny();
    int failed = AT(level, elfzoo_fields, f, cells, tables, reach, net, points, n, out);
    restore(before);
    return failed;
}

/* See OrbitalsKernel in kernel.h. */
EXPORT void elfzoo_orbitals(int level, const Basis *b, const float *points, long n, const float *centres, long atoms,
                            const float *potential, float *out) {
    unsigned before = flush_tiny();
    AT(level, elfzoo_orbitals, b, points, n, centres, atoms, potential, out);
    restore(before);
}

/* See LatentKernel in kernel.h. */
EXPORT int elfzoo_latent(int level, const Basis *b, const Latent *l, const CellList *cells, const float *const *coefficients,
                         const Network *net, float slope, const double *points, long n, float *out) {
    unsigned before = flush_tiny();
    int failed = AT(level, elfzoo_latent, b, l, cells, coefficients, net, slope, points, n, out);
    restore(before);
    return failed;
}

/* See SplineKernel in kernel.h. */
EXPORT void elfzoo_spline(int level, int order, const double *coefficients, const long *shape, const double *points, long n,
                          double *out) {
    AT(level, elfzoo_spline, order, coefficients, shape, points, n, out);
}

#define AHEAD 2 /* pairs */

/* total[which[i * images + j]][a][b] += w (found[i * m + a][j * m + b] + found[j * m + b][i * m + a]), for i <= j < images
   and a, b < m; w is 1/2, and 1/4 where i == j. */
EXPORT void elfzoo_add_by_pair(double *total, const long long *which, const float *found, long images, long m) {
    const long row = images * m, size = m * m;
    for (long i = 0; i < images; i++)
        for (long j = i; j < images; j++) {
            double *to = total + which[i * images + j] * size;
            const float *from = found + i * m * row + j * m, *turned = found + j * m * row + i * m;
            const double weight = i == j ? 0.25 : 0.5;
            if (j + AHEAD < images) { /* where sums lie is as good as random, and they are many */
                const char *next = (const char *)(total + which[i * images + j + AHEAD] * size);
                for (long at = 0; at < size * (long)sizeof(double); at += 64) __builtin_prefetch(next + at, 1);
            }
            for (long a = 0; a < m; a++)
                for (long b = 0; b < m; b++) to[a * m + b] += weight * ((double)from[a * row + b] + turned[b * row + a]);
        }
}

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_kernel", .m_size = 0};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModule_Create(&definition); }
