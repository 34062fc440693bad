/* Gradient lines of a periodic tricubic spline, uphill from points beside saddles to the maxima that they reach. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "spline.h"

#define EXPORT __attribute__((visibility("default")))
#define LONGEST_STEP 0.25 /* grid steps */
#define SHORTEST_STEP 1e-7
#define MOST_STEPS 20000
#define NEAR 0.7      /* a Newton step this short, where the field is concave, leads to the maximum */
#define SAME_POINT 1e-3
#define KICK 0.03     /* grid steps, off a saddle on the way */
#define MOST_KICKS 10

enum { CORE = 1, PLATEAU = 2 };
enum { LOST = -1, IN_CORE = -2, ON_PLATEAU = -3 };

typedef struct {
    Spline s;
    double sign;         /* -1 to follow the field downhill */
    double metric[3][3]; /* from derivatives per grid step to the direction of steepest ascent in grid steps */
    const uint8_t *status;
    const double *top; /* maxima in grid steps within the cell, by ascending key */
    const int64_t *key;
    int64_t tops;
} Flow;

static Taylor taylor(const Flow *f, const double *x) {
    Taylor t = spline_at(&f->s, x);
    double *p = &t.f;
    if (f->sign < 0)
        for (int i = 0; i < 10; i++) p[i] = -p[i];
    return t;
}

static int64_t cell_number(const Flow *f, const double *x, const int *offset) {
    int64_t key = 0;
    for (int a = 0; a < 3; a++) key = key * f->s.n[a] + wrapped((int64_t)floor(x[a]) + offset[a], f->s.n[a]);
    return key;
}

static int direction(const Flow *f, const double *g, double *v) {
    const double length0 = multiply(f->metric, g, v);
    if (!(length0 > 0)) return 0;
    const double length = length0 * sqrt((v[0] / length0) * (v[0] / length0) + (v[1] / length0) * (v[1] / length0) +
                                         (v[2] / length0) * (v[2] / length0));
    for (int a = 0; a < 3; a++) v[a] /= length;
    return 1;
}

/* First of the maxima in a cell; the number of maxima where there is none. */
static int64_t first_in(const Flow *f, int64_t key) {
    int64_t low = 0, high = f->tops;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (f->key[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The maximum at a position, LOST where there is none. */
static int64_t top_at(const Flow *f, const double *x) {
    for (int code = 0; code < 27; code++) {
        const int offset[3] = {code / 9 - 1, code / 3 % 3 - 1, code % 3 - 1};
        const int64_t key = cell_number(f, x, offset);
        for (int64_t i = first_in(f, key); i < f->tops && f->key[i] == key; i++) {
            double worst = 0;
            for (int a = 0; a < 3; a++) {
                const double d = x[a] - f->top[3 * i + a];
                worst = fmax(worst, fabs(d - f->s.n[a] * round(d / f->s.n[a])));
            }
            if (worst < SAME_POINT) return i;
        }
    }
    return LOST;
}

static int concave(const double *h) {
    const double minor = h[0] * h[1] - h[3] * h[3];
    const double det = h[0] * (h[1] * h[2] - h[5] * h[5]) - h[3] * (h[3] * h[2] - h[5] * h[4]) +
                       h[4] * (h[3] * h[5] - h[1] * h[4]);
    return h[0] < 0 && minor > 0 && det < 0;
}

/* Newton's method while the field stays concave and rises; x moves only where it ends at a known maximum. */
static int64_t snap(const Flow *f, double *x, Taylor t) {
    double at[3] = {x[0], x[1], x[2]}, move[3], y[3][3];
    for (int step = 0; step < 20; step++) {
        if (!concave(t.h) || !invert(t.h, y)) return LOST;
        const double length = multiply(y, t.g, move);
        if (length > NEAR) return LOST;
        for (int a = 0; a < 3; a++) at[a] -= move[a];
        const Taylor next = taylor(f, at);
        if (next.f < t.f - 1e-12 * (1 + fabs(t.f))) return LOST;
        t = next;
        if (length < 1e-9) break;
    }
    const int64_t top = top_at(f, at);
    if (top >= 0) memcpy(x, at, sizeof at);
    return top;
}

/* One midpoint step of the gradient line, shorter where it bends; 0 where it cannot rise any more. */
static int rise(const Flow *f, double *x, Taylor *t, double *step) {
    double v[3], w[3], at[3];
    if (!direction(f, t->g, v)) return 0;
    for (; *step > SHORTEST_STEP; *step /= 2) {
        for (int a = 0; a < 3; a++) at[a] = x[a] + *step / 2 * v[a];
        const Taylor half = taylor(f, at);
        if (!direction(f, half.g, w) || v[0] * w[0] + v[1] * w[1] + v[2] * w[2] < 0.9) continue;
        for (int a = 0; a < 3; a++) at[a] = x[a] + *step * w[a];
        const Taylor next = taylor(f, at);
        if (next.f <= t->f) continue;
        memcpy(x, at, sizeof at);
        *t = next;
        *step = fmin(LONGEST_STEP, 1.5 * *step);
        return 1;
    }
    return 0;
}

/* The direction along which the field curves upwards most: power iteration on the Hessian, shifted to be positive. */
static void steepest_curvature(const double *h, double *v) {
    double shift = 0;
    for (int i = 0; i < 6; i++) shift += fabs(h[i]);
    const double m[3][3] = {{h[0] + shift, h[3], h[4]}, {h[3], h[1] + shift, h[5]}, {h[4], h[5], h[2] + shift}};
    v[0] = 0.8, v[1] = 0.53, v[2] = 0.29; /* on no axis, so that symmetry does not hide the direction */
    for (int step = 0; step < 200; step++) {
        double w[3];
        multiply(m, v, w);
        const double length = sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2]) + 1e-300;
        for (int a = 0; a < 3; a++) v[a] = w[a] / length;
    }
}

/* Leave a saddle that symmetry led the line to, on the higher side; 0 where the field rises on neither. */
static int leave_saddle(const Flow *f, double *x, Taylor *t) {
    double v[3], best[3];
    Taylor highest = *t;
    steepest_curvature(t->h, v);
    for (int side = -1; side < 2; side += 2) {
        double at[3];
        for (int a = 0; a < 3; a++) at[a] = x[a] + side * KICK * v[a];
        const Taylor there = taylor(f, at);
        if (there.f > highest.f) {
            highest = there;
            memcpy(best, at, sizeof at);
        }
    }
    if (highest.f <= t->f) return 0;
    memcpy(x, best, sizeof best);
    *t = highest;
    return 1;
}

/* Follow the gradient line from x, which becomes its end: number of the maximum, or why there is none. */
static int64_t follow(const Flow *f, double *x, double step) {
    static const int HERE[3] = {0, 0, 0};
    Taylor t = taylor(f, x);
    for (int steps = 0, kicks = 0; steps < MOST_STEPS; steps++) {
        const int64_t top = snap(f, x, t);
        if (top >= 0) return top;
        const uint8_t status = f->status[cell_number(f, x, HERE)];
        if (status & PLATEAU) return ON_PLATEAU;
        if (status & CORE) return IN_CORE;
        if (rise(f, x, &t, &step)) continue;
        if (kicks++ == MOST_KICKS || !leave_saddle(f, x, &t)) return LOST;
        step = KICK;
    }
    return LOST;
}

/* tops, keys: maxima (minima where sign is -1) in grid steps and the numbers of their cells, ascending.
 * start: n positions in grid steps, replaced by where their lines end; step: length of the first step of each.
 * end: number of the maximum, or -1 lost, -2 in a core, -3 on a plateau. */
EXPORT void elfzoo_gradient_lines(const double *coefficients, const int64_t *shape, double sign, const double *metric,
                                  const uint8_t *status, const double *tops, const int64_t *keys, int64_t n_tops,
                                  double *start, const double *step, int64_t n, int64_t *end) {
    Flow f = {{coefficients, {shape[0], shape[1], shape[2]}}, sign, {{0}}, status, tops, keys, n_tops};
    memcpy(f.metric, metric, sizeof f.metric);
    for (int64_t i = 0; i < n; i++) end[i] = follow(&f, start + 3 * i, step[i]);
}
