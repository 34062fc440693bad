/* Every critical point of a periodic tricubic spline, and where the gradient lines from its saddles end.
 *
 * In each cell of the grid the spline is a polynomial, and a polynomial lies within the range of its Bernstein
 * coefficients. Boxes are left out where a component of the gradient (or a combination of components) keeps its sign,
 * finished where the Hessian varies so little that there is at most one critical point (Krawczyk's condition), and cut
 * in eight otherwise. So nothing is missed but degenerate points, whose boxes stay undecided and are counted.
 * Python sees an empty module; ctypes calls the functions marked EXPORT, which releases the interpreter lock. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "spline.h"

#define EXPORT __attribute__((visibility("default")))
#define DEEPEST 8         /* halvings of a cell */
#define MOST_BOXES 3000   /* in one cell, before it counts as degenerate */
#define CONTRACTION 0.75  /* of Newton's method within a box, when a box is finished */
#define NEARLY 1e-6       /* of a box's edge; a point on a face may be found on both sides of it */
#define ROUNDING 1e-14    /* of the largest coefficient: gradients below it have no sign */

enum { CORE = 1, PLATEAU = 2, UNDECIDED = 4 };

typedef struct {
    double *position; /* of points found, in grid steps */
    int64_t used, room, undecided, plateau;
    int failed;
} Found;

static void add_point(Found *found, const double *x) {
    if (found->used == found->room) {
        double *grown = realloc(found->position, (2 * found->room + 64) * 3 * sizeof *grown);
        if (!grown) {
            found->failed = 1;
            return;
        }
        found->position = grown;
        found->room = 2 * found->room + 64;
    }
    memcpy(found->position + 3 * found->used++, x, 3 * sizeof *x);
}

/* ---- Bernstein coefficients ---- */

/* Of each of the 16 lines of four along an axis, from B-spline coefficients. */
static void to_bernstein_axis(double *c, int stride, int outer, int inner) {
    for (int o = 0; o < 4; o++)
        for (int i = 0; i < 4; i++) {
            double *p = c + o * outer + i * inner;
            const double a = p[0], b = p[stride], d = p[2 * stride], e = p[3 * stride];
            p[0] = (a + 4 * b + d) / 6, p[stride] = (2 * b + d) / 3;
            p[2 * stride] = (b + 2 * d) / 3, p[3 * stride] = (b + 4 * d + e) / 6;
        }
}

static void to_bernstein(const double c[64], double b[64]) {
    memcpy(b, c, 64 * sizeof *b);
    to_bernstein_axis(b, 16, 4, 1);
    to_bernstein_axis(b, 4, 16, 1);
    to_bernstein_axis(b, 1, 16, 4);
}

/* Both halves of a box along an axis (de Casteljau); high may not be b. */
static void halve(double *b, double *high, int stride, int outer, int inner) {
    for (int o = 0; o < 4; o++)
        for (int i = 0; i < 4; i++) {
            double *p = b + o * outer + i * inner, *q = high + o * outer + i * inner;
            const double a = p[0], c = p[stride], d = p[2 * stride], e = p[3 * stride];
            const double ac = (a + c) / 2, cd = (c + d) / 2, de = (d + e) / 2, acd = (ac + cd) / 2, cde = (cd + de) / 2;
            p[stride] = ac, p[2 * stride] = acd, p[3 * stride] = q[0] = (acd + cde) / 2;
            q[stride] = cde, q[2 * stride] = de, q[3 * stride] = e;
        }
}

static const int STRIDE[3] = {16, 4, 1}, ALONG[3][2] = {{4, 1}, {16, 1}, {16, 4}};

/* Whether the derivative along an axis has one sign on the whole box. */
static int one_signed(const double *b, int axis, double tiny) {
    const int s = STRIDE[axis];
    double low = 1e300, high = -1e300;
    for (int o = 0; o < 4; o++)
        for (int i = 0; i < 4; i++) {
            const double *p = b + o * ALONG[axis][0] + i * ALONG[axis][1];
            for (int k = 0; k < 3; k++) {
                const double d = p[(k + 1) * s] - p[k * s];
                low = d < low ? d : low;
                high = d > high ? d : high;
            }
        }
    return low > tiny || high < -tiny;
}

/* Middle and half width of the range of each second derivative. */
static void hessian_range(const double *b, double middle[6], double radius[6]) {
    static const int AXES[6][2] = {{0, 0}, {1, 1}, {2, 2}, {0, 1}, {0, 2}, {1, 2}};
    for (int h = 0; h < 6; h++) {
        const int p = AXES[h][0], q = AXES[h][1], same = p == q;
        int most[3] = {4, 4, 4};
        most[p]--, most[q]--;
        double low = 1e300, high = -1e300;
        for (int i = 0; i < most[0]; i++)
            for (int j = 0; j < most[1]; j++)
                for (int k = 0; k < most[2]; k++) {
                    const double *c = b + 16 * i + 4 * j + k;
                    const int s = STRIDE[p], t = STRIDE[q];
                    const double d = c[s + t] - c[s] - c[t] + c[0];
                    low = d < low ? d : low;
                    high = d > high ? d : high;
                }
        middle[h] = (same ? 6 : 9) * (low + high) / 2;
        radius[h] = (same ? 6 : 9) * (high - low) / 2;
    }
}

/* Largest row sum of |y| times the half widths: how much Newton's method with y contracts the box. */
static double contraction(const double y[3][3], const double r[6]) {
    const double full[3][3] = {{r[0], r[3], r[4]}, {r[3], r[1], r[5]}, {r[4], r[5], r[2]}};
    double worst = 0;
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < 3; j++) sum += fabs(y[i][k]) * full[k][j];
        worst = fmax(worst, sum);
    }
    return worst;
}

/* Coefficients of degree 3 of the derivative along an axis (a third of it). */
static void elevated(const double *b, int axis, double out[64]) {
    const int s = STRIDE[axis];
    for (int o = 0; o < 4; o++)
        for (int i = 0; i < 4; i++) {
            const int at = o * ALONG[axis][0] + i * ALONG[axis][1];
            const double *p = b + at;
            double *q = out + at;
            const double d0 = p[s] - p[0], d1 = p[2 * s] - p[s], d2 = p[3 * s] - p[2 * s];
            q[0] = d0, q[s] = (d0 + 2 * d1) / 3, q[2 * s] = (2 * d1 + d2) / 3, q[3 * s] = d2;
        }
}

/* Whether a component of y times the gradient has one sign on the whole box. */
static int one_signed_combination(const double *b, const double y[3][3], double tiny) {
    double g[3][64];
    for (int a = 0; a < 3; a++) elevated(b, a, g[a]);
    for (int a = 0; a < 3; a++) {
        const double least = tiny * (fabs(y[a][0]) + fabs(y[a][1]) + fabs(y[a][2]));
        double low = 1e300, high = -1e300;
        for (int i = 0; i < 64; i++) {
            const double d = y[a][0] * g[0][i] + y[a][1] * g[1][i] + y[a][2] * g[2][i];
            low = d < low ? d : low;
            high = d > high ? d : high;
        }
        if (low > least || high < -least) return 1;
    }
    return 0;
}

/* ---- one box ---- */

/* The only critical point of a box in which Newton's method with y contracts by q: t, in parts of the box. */
static int only_point(const double *b, const double y[3][3], double q, double t[3]) {
    t[0] = t[1] = t[2] = 0.5;
    for (int step = 0; step < 100; step++) {
        double move[3];
        const Taylor here = bernstein_at(b, t);
        const double length = multiply(y, here.g, move), spread = length * q / (1 - q) + NEARLY;
        double moved = 0;
        for (int a = 0; a < 3; a++) {
            const double goal = t[a] - move[a], next = fmin(1, fmax(0, goal));
            if (goal - spread > 1 || goal + spread < 0) return 0;
            moved = fmax(moved, fabs(next - t[a]));
            t[a] = next;
        }
        if (moved < NEARLY) return length < 10 * NEARLY;
    }
    return 0;
}

/* Newton's method on the whole spline, for the last digits. */
static void polish(const Spline *s, double *x) {
    for (int step = 0; step < 4; step++) {
        double y[3][3], move[3];
        const Taylor here = spline_at(s, x);
        if (!invert(here.h, y) || multiply(y, here.g, move) > 10 * NEARLY) return;
        for (int a = 0; a < 3; a++) x[a] -= move[a];
    }
}

typedef struct {
    const Spline *s;
    double tiny;
    int boxes, undecided;
    Found *found;
} Cell;

static void search_box(Cell *cell, double *b, const double *corner, double size, int depth) {
    double middle[6], radius[6], y[3][3], t[3];
    for (int a = 0; a < 3; a++)
        if (one_signed(b, a, cell->tiny)) return;
    cell->boxes++;
    hessian_range(b, middle, radius);
    if (invert(middle, y)) {
        const double q = contraction(y, radius);
        if (q < CONTRACTION) {
            if (!only_point(b, y, q, t)) return;
            for (int a = 0; a < 3; a++) t[a] = corner[a] + size * t[a];
            polish(cell->s, t);
            add_point(cell->found, t);
            return;
        }
        if (one_signed_combination(b, y, cell->tiny)) return;
    }
    if (depth == DEEPEST || cell->boxes > MOST_BOXES) {
        cell->undecided++;
        return;
    }
    double part[8][64];
    memcpy(part[0], b, sizeof part[0]);
    for (int a = 0; a < 3; a++)
        for (int i = 0; i < 1 << a; i++) halve(part[i], part[i + (1 << a)], STRIDE[a], ALONG[a][0], ALONG[a][1]);
    for (int i = 0; i < 8; i++) {
        const double at[3] = {corner[0] + size / 2 * (i & 1), corner[1] + size / 2 * (i >> 1 & 1),
                              corner[2] + size / 2 * (i >> 2)};
        search_box(cell, part[i], at, size / 2, depth + 1);
    }
}

/* Range of the data on the 4 x 4 x 4 grid points around a cell, whose coefficients' numbering they share. */
static double data_range(const Spline *data, const int64_t at[3]) {
    double v[64], low = 1e300, high = -1e300;
    gather(data, at, v);
    for (int i = 0; i < 64; i++) low = fmin(low, v[i]), high = fmax(high, v[i]);
    return high - low;
}

static void search_cell(const Spline *s, const Spline *data, double flat, double tiny, const int64_t at[3],
                        uint8_t *status, Found *found) {
    double c[64], b[64];
    if (data_range(data, at) <= flat) {
        *status |= PLATEAU;
        found->plateau++;
        return;
    }
    gather(s, at, c);
    to_bernstein(c, b);
    Cell cell = {s, tiny, 0, 0, found};
    const double corner[3] = {(double)at[0], (double)at[1], (double)at[2]};
    search_box(&cell, b, corner, 1, 0);
    if (cell.undecided) {
        *status |= UNDECIDED;
        found->undecided++;
    }
}

/* ---- the scan: cells in which B-spline coefficients of the gradient allow a critical point ---- */

typedef struct {
    double *low[3], *high[3]; /* per component, the range over the windows in y and z of one plane */
} Plane;

static void window_z(const double *in, double *low, double *high, int64_t n, int before, int width) {
    for (int64_t k = 0; k < n; k++) low[k] = high[k] = in[k + 2 - before];
    for (int w = 1; w < width; w++)
        for (int64_t k = 0; k < n; k++) {
            const double v = in[k + 2 - before + w];
            low[k] = v < low[k] ? v : low[k];
            high[k] = v > high[k] ? v : high[k];
        }
}

static void narrow(double *low, double *high, const double *l, const double *h, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        low[k] = l[k] < low[k] ? l[k] : low[k];
        high[k] = h[k] > high[k] ? h[k] : high[k];
    }
}

/* One row of differences of coefficients along an axis, with two entries before it and three behind. */
static void difference_row(const Spline *s, int axis, int64_t i, int64_t j, double *row) {
    const int64_t *n = s->n, d[3] = {axis == 0, axis == 1, axis == 2};
    const double *p = s->c + (i * n[1] + j) * n[2];
    const double *q = s->c + (wrapped(i + d[0], n[0]) * n[1] + wrapped(j + d[1], n[1])) * n[2];
    if (axis < 2)
        for (int64_t k = 0; k < n[2]; k++) row[2 + k] = q[k] - p[k];
    else {
        for (int64_t k = 0; k + 1 < n[2]; k++) row[2 + k] = p[k + 1] - p[k];
        row[1 + n[2]] = p[0] - p[n[2] - 1];
    }
    for (int e = 0; e < 2; e++) row[e] = row[2 + wrapped(e - 2, n[2])];
    for (int e = 0; e < 3; e++) row[2 + n[2] + e] = row[2 + wrapped(e, n[2])];
}

/* scratch: a row with its margins, then the z ranges of a whole plane. */
static void fill_plane(const Spline *s, int64_t i, Plane plane, double *scratch) {
    const int64_t ny = s->n[1], nz = s->n[2];
    double *row = scratch, *low = scratch + nz + 5, *high = low + ny * nz;
    for (int axis = 0; axis < 3; axis++) {
        for (int64_t j = 0; j < ny; j++) {
            difference_row(s, axis, i, j, row);
            window_z(row, low + j * nz, high + j * nz, nz, 1, axis == 2 ? 3 : 4);
        }
        for (int64_t j = 0; j < ny; j++) {
            double *l = plane.low[axis] + j * nz, *h = plane.high[axis] + j * nz;
            const int64_t first = wrapped(j - 1, ny);
            memcpy(l, low + first * nz, nz * sizeof *l);
            memcpy(h, high + first * nz, nz * sizeof *h);
            for (int w = 1; w < (axis == 1 ? 3 : 4); w++) {
                const int64_t other = wrapped(j - 1 + w, ny) * nz;
                narrow(l, h, low + other, high + other, nz);
            }
        }
    }
}

static void keep_signless(const Plane ring[4], int64_t i, int axis, int width, int64_t j, int64_t nz, double tiny,
                          double *low, double *high, uint8_t *keep) {
    const Plane *first = &ring[(i + 3) & 3];
    memcpy(low, first->low[axis] + j * nz, nz * sizeof *low);
    memcpy(high, first->high[axis] + j * nz, nz * sizeof *high);
    for (int w = 1; w < width; w++) {
        const Plane *p = &ring[(i + 3 + w) & 3];
        narrow(low, high, p->low[axis] + j * nz, p->high[axis] + j * nz, nz);
    }
    for (int64_t k = 0; k < nz; k++) keep[k] &= (low[k] <= tiny) & (high[k] >= -tiny);
}

static void scan_plane(const Spline *s, const Spline *data, double flat, double tiny, int64_t i, const Plane ring[4],
                       double *scratch, uint8_t *keep, uint8_t *status, Found *found) {
    const int64_t ny = s->n[1], nz = s->n[2];
    for (int64_t j = 0; j < ny && !found->failed; j++) {
        uint8_t *row = status + (i * ny + j) * nz;
        for (int64_t k = 0; k < nz; k++) keep[k] = !(row[k] & CORE);
        for (int axis = 0; axis < 3; axis++)
            keep_signless(ring, i, axis, axis == 0 ? 3 : 4, j, nz, tiny, scratch, scratch + nz, keep);
        for (int64_t k = 0; k < nz; k++)
            if (keep[k]) {
                const int64_t at[3] = {i, j, k};
                search_cell(s, data, flat, tiny, at, row + k, found);
            }
    }
}

static double largest(const double *c, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(c[i]));
    return most;
}

/* coefficients, values: the spline and the data that flatness is judged by, C order. flat: range below which the data
 * around a cell are a plateau. status: per cell, 1 where it is not to be searched; 2 plateau and 4 undecided are added.
 * found: positions in grid steps, for the caller to free with elfzoo_free. tally: points, cells undecided, plateau. */
EXPORT int elfzoo_critical_points(const double *coefficients, const double *values, const int64_t *shape, double flat,
                                  uint8_t *status, double **position, int64_t *tally) {
    const Spline s = {coefficients, {shape[0], shape[1], shape[2]}}, data = {values, {shape[0], shape[1], shape[2]}};
    const int64_t ny = shape[1], nz = shape[2], plane = ny * nz;
    const double tiny = ROUNDING * largest(coefficients, shape[0] * plane);
    double *memory = malloc((24 * plane + 2 * plane + 3 * nz + 5) * sizeof *memory);
    uint8_t *keep = malloc(nz);
    Found found = {0};
    if (memory && keep) {
        double *scratch = memory + 24 * plane;
        Plane ring[4];
        for (int p = 0; p < 4; p++)
            for (int a = 0; a < 3; a++)
                ring[p].low[a] = memory + (6 * p + a) * plane, ring[p].high[a] = memory + (6 * p + 3 + a) * plane;
        for (int64_t p = -1; p < 2; p++) fill_plane(&s, wrapped(p, shape[0]), ring[(p + 4) & 3], scratch);
        for (int64_t i = 0; i < shape[0] && !found.failed; i++) {
            fill_plane(&s, wrapped(i + 2, shape[0]), ring[(i + 2) & 3], scratch);
            scan_plane(&s, &data, flat, tiny, i, ring, scratch, keep, status, &found);
        }
    }
    const int failed = !memory || !keep || found.failed;
    free(memory), free(keep);
    if (failed) free(found.position), found.position = NULL;
    *position = found.position;
    tally[0] = found.used, tally[1] = found.undecided, tally[2] = found.plateau;
    return failed;
}

EXPORT void elfzoo_free(void *memory) { free(memory); }

/* points: n positions in grid steps; out: n times value, gradient, Hessian xx yy zz xy xz yz, per grid step. */
EXPORT void elfzoo_spline(const double *coefficients, const int64_t *shape, const double *points, int64_t n,
                          double *out) {
    const Spline s = {coefficients, {shape[0], shape[1], shape[2]}};
    for (int64_t i = 0; i < n; i++) {
        const Taylor t = spline_at(&s, points + 3 * i);
        memcpy(out + 10 * i, &t, sizeof t);
    }
}

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_critical", .m_size = 0};

PyMODINIT_FUNC PyInit__critical(void) { return PyModule_Create(&definition); }
