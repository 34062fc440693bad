/* A periodic B-spline on a grid, at points, in double precision. Included after kernel_impl.h, once per instruction set,
   with SPLINE_NAME defined. A vector holds neighbouring coefficients of a row here. */
#include "kernel.h"

typedef double vd __attribute__((vector_size(VBYTES)));
typedef double vd_anywhere __attribute__((vector_size(VBYTES), aligned(8)));

enum { VD = VBYTES / 8, MOST_TAPS = 8, SPLINE_VECTORS = MOST_TAPS / VD };

/* The order + 1 cardinal B-splines that are not zero at t of the way from a knot to the next (Cox and de Boor). */
INLINE void b_splines(int order, double t, double *w) {
    w[0] = 1;
    for (int d = 1; d <= order; d++) {
        double carried = 0, share = 1.0 / d;
        for (int r = 0; r < d; r++) {
            double part = w[r] * share;
            w[r] = carried + (r + 1 - t) * part;
            carried = (t + d - 1 - r) * part;
        }
        w[d] = carried;
    }
}

INLINE void spline_of_order(int order, const double *coefficients, const long *shape, const double *points, long n,
                            double *out) {
    const int vectors = (order + VD) / VD;
    const double shift = order % 2 ? 0.0 : 0.5; /* pieces of even order meet halfway between grid points */
    for (long p = 0; p < n; p++) {
        double w[3][MOST_TAPS] __attribute__((aligned(64))) = {{0}};
        long first[3];
        for (int i = 0; i < 3; i++) {
            first[i] = (long)(points[3 * p + i] + shift); /* points are not negative */
            b_splines(order, points[3 * p + i] + shift - (double)first[i], w[i]);
        }
        vd sum[SPLINE_VECTORS] = {{0}};
        for (int x = 0; x <= order; x++) {
            const double *row = coefficients + ((first[0] + x) * shape[1] + first[1]) * shape[2] + first[2];
            vd plane[SPLINE_VECTORS] = {{0}};
            for (int y = 0; y <= order; y++, row += shape[2])
                for (int v = 0; v < vectors; v++) plane[v] += w[1][y] * *(const vd_anywhere *)(row + v * VD);
            for (int v = 0; v < vectors; v++) sum[v] += w[0][x] * plane[v];
        }
        vd all = {0};
        for (int v = 0; v < vectors; v++) all += sum[v] * *(const vd *)(w[2] + v * VD);
        double value = 0;
        for (int i = 0; i < VD; i++) value += all[i];
        out[p] = value;
    }
}

void SPLINE_NAME(int order, const double *coefficients, const long *shape, const double *points, long n, double *out) {
    switch (order) { /* a constant each, for the compiler to unroll */
    case 2: spline_of_order(2, coefficients, shape, points, n, out); return;
    case 3: spline_of_order(3, coefficients, shape, points, n, out); return;
    case 4: spline_of_order(4, coefficients, shape, points, n, out); return;
    case 5: spline_of_order(5, coefficients, shape, points, n, out); return;
    }
}
