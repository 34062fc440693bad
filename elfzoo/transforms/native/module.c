/* Python sees an empty module; ctypes calls the symbols below, which releases the interpreter lock. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "kernel.h"

#define EXPORT __attribute__((visibility("default")))
#define AHEAD 2 /* pairs */

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

/* level: at most elfzoo_level(). See Kernel in kernel.h. */
EXPORT int elfzoo_run(int level, const Descriptor *d, const CellList *cells, const Network *net, const double *points,
                      long n, float *out) {
#if defined(__x86_64__)
    if (level >= 2) return elfzoo_run_avx512(d, cells, net, points, n, out);
    if (level == 1) return elfzoo_run_avx2(d, cells, net, points, n, out);
#endif
    (void)level;
    return elfzoo_run_baseline(d, cells, net, points, n, out);
}

/* level: at most elfzoo_level(). See FieldsKernel in kernel.h. */
EXPORT int elfzoo_fields(int level, const Fields *f, const CellList *cells, const float *const *tables, float reach,
                         const Network *net, const double *points, long n, float *out) {
#if defined(__x86_64__)
    if (level >= 2) return elfzoo_fields_avx512(f, cells, tables, reach, net, points, n, out);
    if (level == 1) return elfzoo_fields_avx2(f, cells, tables, reach, net, points, n, out);
#endif
    (void)level;
    return elfzoo_fields_baseline(f, cells, tables, reach, net, points, n, out);
}

/* level: at most elfzoo_level(). See OrbitalsKernel in kernel.h. */
EXPORT void elfzoo_orbitals(int level, const Basis *b, const float *points, long n, const float *centres, long atoms,
                            const float *potential, float *out) {
#if defined(__x86_64__)
    if (level >= 2) { elfzoo_orbitals_avx512(b, points, n, centres, atoms, potential, out); return; }
    if (level == 1) { elfzoo_orbitals_avx2(b, points, n, centres, atoms, potential, out); return; }
#endif
    (void)level;
    elfzoo_orbitals_baseline(b, points, n, centres, atoms, potential, out);
}

/* level: at most elfzoo_level(). See LatentKernel in kernel.h. */
EXPORT int elfzoo_latent(int level, const Basis *b, const Latent *l, const CellList *cells, const float *const *coefficients,
                         const Network *net, float slope, const double *points, long n, float *out) {
#if defined(__x86_64__)
    if (level >= 2) return elfzoo_latent_avx512(b, l, cells, coefficients, net, slope, points, n, out);
    if (level == 1) return elfzoo_latent_avx2(b, l, cells, coefficients, net, slope, points, n, out);
#endif
    (void)level;
    return elfzoo_latent_baseline(b, l, cells, coefficients, net, slope, points, n, out);
}

/* level: at most elfzoo_level(). See SplineKernel in kernel.h. */
EXPORT void elfzoo_spline(int level, int order, const double *coefficients, const long *shape, const double *points, long n,
                          double *out) {
#if defined(__x86_64__)
    if (level >= 2) { elfzoo_spline_avx512(order, coefficients, shape, points, n, out); return; }
    if (level == 1) { elfzoo_spline_avx2(order, coefficients, shape, points, n, out); return; }
#endif
    (void)level;
    elfzoo_spline_baseline(order, coefficients, shape, points, n, out);
}

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
