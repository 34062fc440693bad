/* The critical points of a polynomial in a box, from bounds on its derivatives by Bernstein coefficients. */
#ifndef ELFZOO_BOXES_H
#define ELFZOO_BOXES_H
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "spline.h"

#define DEEPEST 12        /* halvings of a cell */
#define MOST_BOXES 1000   /* in one cell, before it counts as degenerate */
#define CONTRACTION 0.75  /* of Newton's method within a box, when a box is finished */
#define NEARLY 1e-6       /* of a box's edge; a point on a face may be found on both sides of it */

typedef struct {
    double *position; /* of points found, in grid steps */
    int64_t used, room, undecided;
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

/* Rounding of the gradient times y, in parts of the box. */
static double position_noise(const double *b, const double y[3][3]) {
    double most = 0;
    for (int i = 0; i < 3; i++) most = fmax(most, fabs(y[i][0]) + fabs(y[i][1]) + fabs(y[i][2]));
    return 4 * DBL_EPSILON * (fabs(b[0]) + fabs(b[63])) * most;
}

/* The only critical point of a box in which Newton's method with y contracts by q: t, in parts of the box. */
static int only_point(const double *b, const double y[3][3], double q, double t[3]) {
    const double nearly = NEARLY + position_noise(b, y);
    t[0] = t[1] = t[2] = 0.5;
    for (int step = 0; step < 100; step++) {
        double move[3];
        const Taylor here = bernstein_at(b, t);
        const double length = multiply(y, here.g, move), spread = length * q / (1 - q) + nearly;
        double moved = 0;
        for (int a = 0; a < 3; a++) {
            const double goal = t[a] - move[a], next = fmin(1, fmax(0, goal));
            if (goal - spread > 1 || goal + spread < 0) return 0;
            moved = fmax(moved, fabs(next - t[a]));
            t[a] = next;
        }
        if (moved < nearly) return length < 10 * nearly;
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

#endif
