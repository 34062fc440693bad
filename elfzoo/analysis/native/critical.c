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

#include "boxes.h"

#define EXPORT __attribute__((visibility("default")))
#define ROUNDING 1e-14 /* of the largest coefficient: gradients below it have no sign */

enum { CORE = 1, PLATEAU = 2, UNDECIDED = 4 };

static void search_cell(const Spline *s, double tiny, const int64_t at[3], uint8_t *status, Found *found) {
    double c[64], b[64];
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

static void scan_plane(const Spline *s, double tiny, int64_t i, const Plane ring[4], double *scratch, uint8_t *keep,
                       uint8_t *status, Found *found) {
    const int64_t ny = s->n[1], nz = s->n[2];
    for (int64_t j = 0; j < ny && !found->failed; j++) {
        uint8_t *row = status + (i * ny + j) * nz;
        for (int64_t k = 0; k < nz; k++) keep[k] = !(row[k] & (CORE | PLATEAU));
        for (int axis = 0; axis < 3; axis++)
            keep_signless(ring, i, axis, axis == 0 ? 3 : 4, j, nz, tiny, scratch, scratch + nz, keep);
        for (int64_t k = 0; k < nz; k++)
            if (keep[k]) {
                const int64_t at[3] = {i, j, k};
                search_cell(s, tiny, at, row + k, found);
            }
    }
}

static double largest(const double *c, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(c[i]));
    return most;
}

/* status: per cell, 1 or 2 where it is not to be searched; 4 is added where something stays undecided.
 * position: in grid steps, for the caller to free with elfzoo_free. tally: points, cells undecided. */
EXPORT int elfzoo_critical_points(const double *coefficients, const int64_t *shape, uint8_t *status,
                                  double **position, int64_t *tally) {
    const Spline s = {coefficients, {shape[0], shape[1], shape[2]}};
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
            scan_plane(&s, tiny, i, ring, scratch, keep, status, &found);
        }
    }
    const int failed = !memory || !keep || found.failed;
    free(memory), free(keep);
    if (failed) free(found.position), found.position = NULL;
    *position = found.position;
    tally[0] = found.used, tally[1] = found.undecided;
    return failed;
}

/* Whether the 4 x 4 x 4 values around a cell differ by no more than flat. */
static int is_flat(const Spline *values, const int64_t at[3], double flat) {
    double v[64], low, high;
    gather(values, at, v);
    low = high = v[0];
    for (int i = 1; i < 64; i++) low = fmin(low, v[i]), high = fmax(high, v[i]);
    return high - low <= flat;
}

/* Adds 2 to the status of every cell around which the values are flat; returns how many there are. */
EXPORT int64_t elfzoo_flat_cells(const double *values, const int64_t *shape, double flat, uint8_t *status) {
    const Spline data = {values, {shape[0], shape[1], shape[2]}};
    int64_t count = 0;
    for (int64_t i = 0; i < shape[0]; i++)
        for (int64_t j = 0; j < shape[1]; j++) {
            const int64_t first = (i * shape[1] + j) * shape[2];
            for (int64_t k = 0; k < shape[2]; k++) {
                const int64_t next = k + 1 < shape[2] ? k + 1 : 0, at[3] = {i, j, k};
                if (fabs(values[first + next] - values[first + k]) > flat || !is_flat(&data, at, flat)) continue;
                status[first + k] |= PLATEAU;
                count++;
            }
        }
    return count;
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
