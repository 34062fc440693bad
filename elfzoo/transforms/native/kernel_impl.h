/* The kernel itself, in GCC/Clang vector extensions. Included once per instruction set with
   VBYTES (vector width in bytes), NV (vectors per register block) and NAME defined.

   A tile is 64 points that lie close together. Its atoms come from one query of the cell list; then, for each
   vector of points, radial and angular values of a batch of neighbours go to a small buffer, and the expansion
   coefficients c_nlm are accumulated in registers; power spectrum and network work on data still in cache.
   For equally spaced Gaussians R_{n+1} = R_n q g_n with one q = exp(r spacing / sigma^2) per pair, so that two
   exponentials serve all radial functions. The recurrence starts in the middle, where it cannot underflow. */
#include "kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "vectors.h"

/* BATCH neighbours, each n_a radial and n_y angular vectors, should stay in the first-level cache. ROWS x 5 sums stay in
   registers: 32 of them with AVX-512 and NEON, else 16. */
#if VBYTES == 64 || defined(__aarch64__)
#define ROWS 5
#else
#define ROWS 2
#endif
enum { VECTORS = TILE / VL, BATCH = 16, PANEL = 6 };

/* Real solid harmonics of (x, y, z), orthonormal on the unit sphere, homogeneous of degree l, l = 0 ... l_max. */
INLINE void harmonics(vf x, vf y, vf z, int l_max, float *out) {
#define Y(i, c, value) store(out + (i) * VL, splat(c) * (value))
    store(out, splat(0.28209479177f));
    if (l_max < 1) return;
    Y(1, 0.48860251190f, y); Y(2, 0.48860251190f, z); Y(3, 0.48860251190f, x);
    if (l_max < 2) return;
    vf xx = x * x, yy = y * y, zz = z * z, xy = x * y, yz = y * z, xz = x * z, d = xx - yy, rr = xx + yy + zz;
    Y(4, 1.09254843059f, xy); Y(5, 1.09254843059f, yz); Y(6, 0.31539156525f, zz + zz - xx - yy);
    Y(7, 1.09254843059f, xz); Y(8, 0.54627421529f, d);
    if (l_max < 3) return;
    vf three = splat(3.f), five = splat(5.f), seven = splat(7.f), u = three * xx - yy, v = xx - three * yy;
    vf w = five * zz - rr;
    Y(9, 0.59004358993f, y * u); Y(10, 2.89061144264f, xy * z); Y(11, 0.45704579946f, y * w);
    Y(12, 0.37317633259f, z * (five * zz - three * rr)); Y(13, 0.45704579946f, x * w);
    Y(14, 1.44530572132f, z * d); Y(15, 0.59004358993f, x * v);
    if (l_max < 4) return;
    vf a = seven * zz - rr, b = seven * zz - three * rr;
    Y(16, 2.50334294180f, xy * d); Y(17, 1.77013076978f, yz * u); Y(18, 0.94617469576f, xy * a);
    Y(19, 0.66904654355f, yz * b);
    Y(20, 0.10578554692f, splat(35.f) * zz * zz - splat(30.f) * zz * rr + three * rr * rr);
    Y(21, 0.66904654355f, xz * b); Y(22, 0.47308734788f, d * a); Y(23, 1.77013076978f, xz * v);
    Y(24, 0.62583573545f, xx * v - yy * u);
#undef Y
}

/* Constants of the radial recurrences. */
typedef struct {
    int mirrored;
    float up[MAX_RADIAL], down[MAX_RADIAL], half_inverse, step;
} Radial;

static Radial radial_constants(const Descriptor *d) {
    Radial k = {.half_inverse = 0.5f / (d->sigma * d->sigma)};
    double x = (double)d->spacing * d->spacing * k.half_inverse;
    k.step = (float)(2.0 * d->spacing * k.half_inverse);
    for (int n = 0; n < d->n_radial; n++) {
        k.up[n] = (float)exp(-(2 * n + 1) * x);    /* R_{n+1} = R_n q up_n, and the mirrored M_{n+1} = M_n up_n / q */
        k.down[n] = (float)exp((2 * n - 1) * x);   /* R_{n-1} = R_n down_n / q */
        if (n * n * x < 20.0) k.mirrored = n + 1;  /* beyond, the mirror image is below single precision */
    }
    return k;
}

/* Radial functions times weight of one neighbour for VL points, r <= r_cut: out[n][VL]. */
INLINE void radial_values(const Descriptor *d, const Radial *k, vf r, vf weight, float *out) {
    vf q = exp_vf(r * splat(k->step)), p = reciprocal_vf(q);
    int middle = d->n_radial / 2;
    vf distance = r - splat(middle * d->spacing), value = weight * exp_vf(distance * distance * splat(-k->half_inverse));
    store(out + middle * VL, value);
    vf up = value;
    for (int n = middle; n + 1 < d->n_radial; n++) store(out + (n + 1) * VL, up = up * (q * splat(k->up[n])));
    vf down = value;
    for (int n = middle; n > 0; n--) store(out + (n - 1) * VL, down = down * (p * splat(k->down[n])));
    if (!d->smooth) return;
    vf image = down; /* the mirror image at -mu_n makes R_n even in r; for n = 0 it is R_0 */
    for (int n = 0; n < k->mirrored; n++) {
        store(out + n * VL, load(out + n * VL) + image);
        image = image * (p * splat(k->up[n]));
    }
}

/* HEIGHT radial functions times WIDTH angular components, summed over the batch in registers. Both are constants. */
INLINE void accumulate_block(const float *row, int count, const int HEIGHT, const int WIDTH, int a, int y, int n_a, int n_y,
                             float *c) {
    vf sum[ROWS][5];
#pragma GCC unroll 5
    for (int k = 0; k < HEIGHT; k++)
#pragma GCC unroll 5
        for (int i = 0; i < WIDTH; i++) sum[k][i] = load(c + ((a + k) * n_y + y + i) * VL);
    for (int j = 0; j < count; j++, row += (n_a + n_y) * VL) {
        vf radial[ROWS];
#pragma GCC unroll 5
        for (int k = 0; k < HEIGHT; k++) radial[k] = load(row + (a + k) * VL);
#pragma GCC unroll 5
        for (int i = 0; i < WIDTH; i++) {
            vf angular = load(row + (n_a + y + i) * VL);
#pragma GCC unroll 5
            for (int k = 0; k < HEIGHT; k++) sum[k][i] += radial[k] * angular;
        }
    }
#pragma GCC unroll 5
    for (int k = 0; k < HEIGHT; k++)
#pragma GCC unroll 5
        for (int i = 0; i < WIDTH; i++) store(c + ((a + k) * n_y + y + i) * VL, sum[k][i]);
}

INLINE void accumulate_rows(const float *buffer, int count, const int HEIGHT, int a, int n_a, int n_y, float *c) {
    int y = 0;
    for (; n_y % 4 == 1 && y + 5 <= n_y && (n_y - y) % 4; y += 5) accumulate_block(buffer, count, HEIGHT, 5, a, y, n_a, n_y, c);
    for (; y + 4 <= n_y; y += 4) accumulate_block(buffer, count, HEIGHT, 4, a, y, n_a, n_y, c);
    if (y < n_y) accumulate_block(buffer, count, HEIGHT, 1, a, y, n_a, n_y, c);
}

/* c[a][lm] += sum over the batch of radial[a] * angular[lm]; the components of l = 0 ... 4 are 1, 4, 9, 16 or 25. */
INLINE void accumulate(const float *buffer, int count, int n_a, int n_y, float *c) {
    int a = 0;
    for (; a + ROWS <= n_a; a += ROWS) accumulate_rows(buffer, count, ROWS, a, n_a, n_y, c);
    for (; a < n_a; a++) accumulate_rows(buffer, count, 1, a, n_a, n_y, c);
}

/* Power spectrum of one l, a constant, for a <= a': sum_m c_alm c_a'lm, standardised where there is a network. Returns
   the place of the next feature. */
INLINE int contract_degree(const float *c, const int l, int n_a, int n_y, const Network *net, int f, float *out) {
    for (int a = 0; a < n_a; a++) {
        vf left[9];
#pragma GCC unroll 9
        for (int m = 0; m < 2 * l + 1; m++) left[m] = load(c + (a * n_y + l * l + m) * VL);
        for (int b = a; b < n_a; b++, f++) {
            const float *right = c + (b * n_y + l * l) * VL;
            vf sum = left[0] * load(right);
#pragma GCC unroll 9
            for (int m = 1; m < 2 * l + 1; m++) sum += left[m] * load(right + m * VL);
            if (net) {
                sum = (sum - splat(net->mean[f])) * splat(net->scale[f]);
                sum = min_vf(max_vf(sum, splat(-net->clamp)), splat(net->clamp));
            }
            store(out + f * TILE, sum);
        }
    }
    return f;
}

INLINE void contract(const float *c, int n_a, int n_y, int l_max, const Network *net, float *out) {
    int f = contract_degree(c, 0, n_a, n_y, net, 0, out);
    if (l_max >= 1) f = contract_degree(c, 1, n_a, n_y, net, f, out);
    if (l_max >= 2) f = contract_degree(c, 2, n_a, n_y, net, f, out);
    if (l_max >= 3) f = contract_degree(c, 3, n_a, n_y, net, f, out);
    if (l_max >= 4) contract_degree(c, 4, n_a, n_y, net, f, out);
}

typedef struct {
    float x, y, z;
    int index;
} Neighbour;

typedef struct {
    float x[TILE], y[TILE], z[TILE];
    double centre[3];
    float radius;
} __attribute__((aligned(64))) Tile;

/* Points relative to their centre; the last point fills up a short tile. */
static void make_tile(const double *points, int count, Tile *t) {
    for (int k = 0; k < 3; k++) {
        t->centre[k] = 0;
        for (int i = 0; i < count; i++) t->centre[k] += points[3 * i + k] / count;
    }
    float largest = 0;
    for (int i = 0; i < TILE; i++) {
        const double *p = points + 3 * (i < count ? i : count - 1);
        t->x[i] = (float)(p[0] - t->centre[0]);
        t->y[i] = (float)(p[1] - t->centre[1]);
        t->z[i] = (float)(p[2] - t->centre[2]);
        float rr = t->x[i] * t->x[i] + t->y[i] * t->y[i] + t->z[i] * t->z[i];
        if (rr > largest) largest = rr;
    }
    t->radius = sqrtf(largest) * 1.000001f;
}

/* Images within r_cut of any point of the tile. Grows *list, which has room for twice as many; returns their number, -1
   when memory ran out. */
static int query(const CellList *cells, const Tile *t, float r_cut, Neighbour **list, int *capacity) {
    double reach = (double)r_cut + t->radius + 1e-5;
    int low[3], high[3], count = 0;
    for (int k = 0; k < 3; k++) {
        double lo = floor((t->centre[k] - reach - cells->origin[k]) * cells->inverse_bin);
        double hi = floor((t->centre[k] + reach - cells->origin[k]) * cells->inverse_bin);
        /* these comparisons leave no index outside of the list even of a point that is not a number */
        low[k] = !(lo > 0) ? 0 : lo > cells->bins[k] ? cells->bins[k] : (int)lo;
        high[k] = !(hi >= 0) ? -1 : hi > cells->bins[k] - 1 ? cells->bins[k] - 1 : (int)hi;
    }
    for (int i = low[0]; i <= high[0]; i++)
        for (int j = low[1]; j <= high[1]; j++) {
            if (low[2] > high[2]) continue;
            long row = ((long)i * cells->bins[1] + j) * cells->bins[2];
            for (int a = cells->bin_start[row + low[2]]; a < cells->bin_start[row + high[2] + 1]; a++) {
                double x = cells->positions[3 * (long)a] - t->centre[0], y = cells->positions[3 * (long)a + 1] - t->centre[1],
                       z = cells->positions[3 * (long)a + 2] - t->centre[2];
                if (x * x + y * y + z * z > reach * reach) continue;
                if (count == *capacity) {
                    Neighbour *larger = realloc(*list, sizeof(Neighbour) * 4 * (size_t)*capacity);
                    if (!larger) return -1;
                    *list = larger;
                    *capacity *= 2;
                }
                (*list)[count++] = (Neighbour){(float)x, (float)y, (float)z, a};
            }
        }
    return count;
}

/* Neighbours within the cutoff of any of VL points, moved to near; returns their number. Without branches to predict. */
INLINE int select_near(vf px, vf py, vf pz, float r_cut, const Neighbour *list, int count, Neighbour *near) {
    float cx = 0, cy = 0, cz = 0, spread = 0;
    for (int i = 0; i < VL; i++) { cx += px[i] / VL; cy += py[i] / VL; cz += pz[i] / VL; }
    for (int i = 0; i < VL; i++) {
        float dx = px[i] - cx, dy = py[i] - cy, dz = pz[i] - cz, rr = dx * dx + dy * dy + dz * dz;
        if (rr > spread) spread = rr;
    }
    float reach = r_cut + sqrtf(spread) + 1e-5f;
    int kept = 0;
    for (int j = 0; j < count; j++) {
        float dx = list[j].x - cx, dy = list[j].y - cy, dz = list[j].z - cz;
        near[kept] = list[j];
        kept += dx * dx + dy * dy + dz * dz < reach * reach;
    }
    return kept;
}

/* Radial functions, then harmonics, of one neighbour for VL points at (px, py, pz): a row of the buffer. */
INLINE void neighbour_row(const Descriptor *d, const Radial *k, const Neighbour *atom, const float *w, vf px, vf py, vf pz,
                          float *row) {
    vf x = splat(atom->x) - px, y = splat(atom->y) - py, z = splat(atom->z) - pz;
    vf rr = x * x + y * y + z * z, inverse = rsqrt_vf(max_vf(rr, splat(1e-24f)));
    vf r = min_vf(rr * inverse, splat(d->r_cut)), angle = r * splat(1.5707963268f / d->r_cut);
    vf inside = (vf)((vi)cutoff_vf(angle * angle) & (r < splat(d->r_cut)));
    if (d->smooth) inverse = rsqrt_vf(max_vf(rr + splat(d->softening * d->softening), splat(1e-24f)));
    harmonics(x * inverse, y * inverse, z * inverse, d->l_max, row + d->n_radial * d->n_channels * VL);
    radial_values(d, k, r, d->n_channels == 1 ? inside * splat(w[0]) : inside, row);
    for (int ch = d->n_channels - 1; d->n_channels > 1 && ch >= 0; ch--)
        for (int n = 0; n < d->n_radial; n++) store(row + (ch * d->n_radial + n) * VL, load(row + n * VL) * splat(w[ch]));
}

INLINE void features_of(const Descriptor *d, const Radial *k, const CellList *cells, const Network *net, const Tile *t,
                        const Neighbour *list, int count, Neighbour *near, float *buffer, float *c, float *out) {
    int n_a = d->n_radial * d->n_channels, n_y = (d->l_max + 1) * (d->l_max + 1);
    for (int v = 0; v < VECTORS; v++) {
        vf px = load(t->x + v * VL), py = load(t->y + v * VL), pz = load(t->z + v * VL);
        int kept = select_near(px, py, pz, d->r_cut, list, count, near);
        memset(c, 0, sizeof(float) * (size_t)(n_a * n_y * VL));
        for (int start = 0; start < kept; start += BATCH) {
            int size = kept - start < BATCH ? kept - start : BATCH;
            for (int j = 0; j < size; j++)
                neighbour_row(d, k, near + start + j, cells->weights + (long)near[start + j].index * d->n_channels, px, py, pz,
                              buffer + j * (n_a + n_y) * VL);
            accumulate(buffer, size, n_a, n_y, c);
        }
        contract(c, n_a, n_y, d->l_max, net, out + v * VL);
    }
}

/* Features of one tile: out[feature][TILE]. near: room for count neighbours; buffer: BATCH rows; c: coefficients of VL points.
   The two descriptors that releases have are compiled with their numbers as constants. */
static void tile_features(const Descriptor *d, const Radial *k, const CellList *cells, const Network *net, const Tile *t,
                          const Neighbour *list, int count, Neighbour *near, float *buffer, float *c, float *out) {
    Descriptor e = *d;
    if (e.n_radial == 10 && e.n_channels == 1 && e.l_max == 2 && !e.smooth) {
        e.n_radial = 10, e.n_channels = 1, e.l_max = 2, e.smooth = 0;
        features_of(&e, k, cells, net, t, list, count, near, buffer, c, out);
    } else if (e.n_radial == 10 && e.n_channels == 1 && e.l_max == 4 && e.smooth) {
        e.n_radial = 10, e.n_channels = 1, e.l_max = 4, e.smooth = 1;
        features_of(&e, k, cells, net, t, list, count, near, buffer, c, out);
    } else {
        features_of(d, k, cells, net, t, list, count, near, buffer, c, out);
    }
}

/* sum[HEIGHT][NV] += a panel of weights [n_in][PANEL] times rows [n_in][TILE] from x on. HEIGHT is a constant. */
INLINE void multiply_panel(const int HEIGHT, const float *x, const float *w, int n_in, vf sum[PANEL][NV]) {
    for (int k = 0; k < n_in; k++, x += TILE, w += PANEL) {
        vf lanes[NV];
        for (int j = 0; j < NV; j++) lanes[j] = load(x + j * VL);
#pragma GCC unroll 6
        for (int i = 0; i < HEIGHT; i++) {
            vf factor = splat(w[i]);
            for (int j = 0; j < NV; j++) sum[i][j] += factor * lanes[j];
        }
    }
}

/* out[m][TILE] = W in + b of HEIGHT outputs, a constant, with sums of HEIGHT x NV vectors in registers. */
INLINE void layer_block(const float *in, int n_in, const float *weights, const float *bias, const int HEIGHT, float *out) {
    for (int v = 0; v < VECTORS; v += NV) {
        vf sum[PANEL][NV];
#pragma GCC unroll 6
        for (int i = 0; i < HEIGHT; i++)
            for (int j = 0; j < NV; j++) sum[i][j] = splat(bias[i]);
        multiply_panel(HEIGHT, in + v * VL, weights, n_in, sum);
#pragma GCC unroll 6
        for (int i = 0; i < HEIGHT; i++)
            for (int j = 0; j < NV; j++) store(out + i * TILE + (v + j) * VL, sum[i][j]);
    }
}

/* The last panel may hold fewer than six outputs. Not inlined, so that all registers are free for the sums. */
static __attribute__((noinline)) void layer(const float *in, int n_in, const float *weights, const float *bias, int n_out,
                                            float *out) {
    for (; n_out >= PANEL; n_out -= PANEL, weights += (size_t)n_in * PANEL, bias += PANEL, out += PANEL * TILE)
        layer_block(in, n_in, weights, bias, PANEL, out);
    if (n_out == 5) layer_block(in, n_in, weights, bias, 5, out);
    if (n_out == 4) layer_block(in, n_in, weights, bias, 4, out);
    if (n_out == 3) layer_block(in, n_in, weights, bias, 3, out);
    if (n_out == 2) layer_block(in, n_in, weights, bias, 2, out);
    if (n_out == 1) layer_block(in, n_in, weights, bias, 1, out);
}

/* x / (1 + e^-x) of n outputs. Beyond |x| = 80, where the exponential leaves single precision, it is x or 0. */
static __attribute__((noinline)) void activate(float *x, int n) {
    for (int i = 0; i < n * VECTORS; i++) {
        vf value = load(x + i * VL), exponent = min_vf(max_vf(-value, splat(-80.f)), splat(80.f));
        store(x + i * VL, value * reciprocal_vf(splat(1.f) + exp_vf(exponent)));
    }
}

/* Leaves the logits of the tile in the buffer that it returns. */
static const float *evaluate(const Network *net, const float *features, float *a, float *b) {
    const float *in = features;
    for (int i = 0; i < net->n_layers; i++) {
        float *out = i % 2 ? b : a;
        layer(in, net->width[i], net->weights[i], net->biases[i], net->width[i + 1], out);
        if (i + 1 < net->n_layers) activate(out, net->width[i + 1]);
        in = out;
    }
    return in;
}

static float *floats(size_t n) { return aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64); }

int NAME(const Descriptor *d, const CellList *cells, const Network *net, const double *points, long n, float *out) {
    int n_a = d->n_radial * d->n_channels, n_y = (d->l_max + 1) * (d->l_max + 1), failed = 1, capacity = 256;
    size_t n_features = (size_t)(d->l_max + 1) * n_a * (n_a + 1) / 2, widest = 1;
    for (int i = 1; net && i <= net->n_layers; i++) widest = (size_t)net->width[i] > widest ? (size_t)net->width[i] : widest;
    Radial radial = radial_constants(d);
    Neighbour *list = malloc(sizeof(Neighbour) * 2 * (size_t)capacity);
    float *buffer = floats((size_t)(BATCH * (n_a + n_y) * VL)), *c = floats((size_t)n_a * n_y * VL);
    float *features = floats(n_features * TILE), *a = floats(widest * TILE), *b = floats(widest * TILE);
    if (!list || !buffer || !c || !features || !a || !b) goto done;
    for (long start = 0; start < n; start += TILE) {
        int size = n - start < TILE ? (int)(n - start) : TILE;
        Tile tile;
        make_tile(points + 3 * start, size, &tile);
        int count = query(cells, &tile, d->r_cut, &list, &capacity);
        if (count < 0) goto done;
        tile_features(d, &radial, cells, net, &tile, list, count, list + capacity, buffer, c, features);
        if (net) {
            memcpy(out + start, evaluate(net, features, a, b), sizeof(float) * (size_t)size);
        } else {
            for (int i = 0; i < size; i++)
                for (size_t f = 0; f < n_features; f++) out[(size_t)(start + i) * n_features + f] = features[f * TILE + i];
        }
    }
    failed = 0;
done:
    free(list); free(buffer); free(c); free(features); free(a); free(b);
    return failed;
}
