/* A periodic tricubic B-spline in units of grid steps: value, gradient and Hessian from its coefficients. */
#ifndef ELFZOO_SPLINE_H
#define ELFZOO_SPLINE_H
#include <math.h>
#include <stdint.h>

typedef struct {
    const double *c; /* coefficients, C order */
    int64_t n[3];
} Spline;

typedef struct {
    double f, g[3], h[6]; /* Hessian xx, yy, zz, xy, xz, yz */
} Taylor;

static inline int64_t wrapped(int64_t i, int64_t n) {
    i %= n;
    return i < 0 ? i + n : i;
}

/* The 4 x 4 x 4 coefficients that a cell's polynomial is made of. */
static inline void gather(const Spline *s, const int64_t cell[3], double out[64]) {
    int64_t at[3][4];
    for (int a = 0; a < 3; a++)
        for (int i = 0; i < 4; i++) at[a][i] = wrapped(cell[a] - 1 + i, s->n[a]);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const double *row = s->c + (at[0][i] * s->n[1] + at[1][j]) * s->n[2];
            for (int k = 0; k < 4; k++) out[16 * i + 4 * j + k] = row[at[2][k]];
        }
}

/* Weights of four B-spline coefficients for value, first and second derivative at t in the cell. */
static inline void bspline_weights(double t, double w[3][4]) {
    const double u = 1 - t;
    w[0][0] = u * u * u / 6, w[0][1] = 2. / 3 - t * t * (1 - t / 2);
    w[0][2] = 2. / 3 - u * u * (1 - u / 2), w[0][3] = t * t * t / 6;
    w[1][0] = -u * u / 2, w[1][1] = t * (1.5 * t - 2), w[1][2] = -u * (1.5 * u - 2), w[1][3] = t * t / 2;
    w[2][0] = u, w[2][1] = 3 * t - 2, w[2][2] = 3 * u - 2, w[2][3] = t;
}

/* The same for four Bernstein coefficients of a box whose edges are the unit of length. */
static inline void bernstein_weights(double t, double w[3][4]) {
    const double u = 1 - t;
    w[0][0] = u * u * u, w[0][1] = 3 * t * u * u, w[0][2] = 3 * t * t * u, w[0][3] = t * t * t;
    w[1][0] = -3 * u * u, w[1][1] = 3 * u * (u - 2 * t), w[1][2] = 3 * t * (2 * u - t), w[1][3] = 3 * t * t;
    w[2][0] = 6 * u, w[2][1] = 6 * (t - 2 * u), w[2][2] = 6 * (u - 2 * t), w[2][3] = 6 * t;
}

static inline double dot4(const double *a, const double *w) {
    return a[0] * w[0] + a[1] * w[1] + a[2] * w[2] + a[3] * w[3];
}

static inline Taylor contract(const double c[64], const double x[3][4], const double y[3][4], const double z[3][4]) {
    double plane[6][4]; /* z then y derivatives: 00, 01, 02, 10, 11, 20 (y order first) */
    for (int i = 0; i < 4; i++) {
        double row[3][4];
        for (int j = 0; j < 4; j++)
            for (int d = 0; d < 3; d++) row[d][j] = dot4(c + 16 * i + 4 * j, z[d]);
        plane[0][i] = dot4(row[0], y[0]), plane[1][i] = dot4(row[1], y[0]), plane[2][i] = dot4(row[2], y[0]);
        plane[3][i] = dot4(row[0], y[1]), plane[4][i] = dot4(row[1], y[1]), plane[5][i] = dot4(row[0], y[2]);
    }
    const Taylor t = {dot4(plane[0], x[0]),
                      {dot4(plane[0], x[1]), dot4(plane[3], x[0]), dot4(plane[1], x[0])},
                      {dot4(plane[0], x[2]), dot4(plane[5], x[0]), dot4(plane[2], x[0]), dot4(plane[3], x[1]),
                       dot4(plane[1], x[1]), dot4(plane[4], x[0])}};
    return t;
}

static inline Taylor bspline_at(const double c[64], const double t[3]) {
    double w[3][3][4];
    for (int a = 0; a < 3; a++) bspline_weights(t[a], w[a]);
    return contract(c, w[0], w[1], w[2]);
}

static inline Taylor bernstein_at(const double b[64], const double t[3]) {
    double w[3][3][4];
    for (int a = 0; a < 3; a++) bernstein_weights(t[a], w[a]);
    return contract(b, w[0], w[1], w[2]);
}

/* At a position in grid steps, in any cell. */
static inline Taylor spline_at(const Spline *s, const double x[3]) {
    double c[64], t[3];
    int64_t cell[3];
    for (int a = 0; a < 3; a++) {
        const double floor_x = floor(x[a]);
        cell[a] = (int64_t)floor_x;
        t[a] = x[a] - floor_x;
    }
    gather(s, cell, c);
    return bspline_at(c, t);
}

/* y = inverse of the symmetric matrix h; 0 where it is singular to rounding. */
static inline int invert(const double h[6], double y[3][3]) {
    const double a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5];
    double size = 0;
    for (int i = 0; i < 6; i++) size = fmax(size, fabs(h[i]));
    const double xx = b * c - f * f, xy = e * f - d * c, xz = d * f - b * e;
    const double det = a * xx + d * xy + e * xz;
    if (!(fabs(det) > 1e-12 * size * size * size)) return 0;
    y[0][0] = xx / det, y[0][1] = y[1][0] = xy / det, y[0][2] = y[2][0] = xz / det;
    y[1][1] = (a * c - e * e) / det, y[1][2] = y[2][1] = (d * e - a * f) / det, y[2][2] = (a * b - d * d) / det;
    return 1;
}

static inline double multiply(const double y[3][3], const double g[3], double out[3]) {
    double largest = 0;
    for (int i = 0; i < 3; i++) {
        out[i] = y[i][0] * g[0] + y[i][1] * g[1] + y[i][2] * g[2];
        largest = fmax(largest, fabs(out[i]));
    }
    return largest;
}

#endif
