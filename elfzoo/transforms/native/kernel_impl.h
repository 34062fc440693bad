/* The kernel itself, in GCC/Clang vector extensions. Included once per instruction set with
   VBYTES (vector width in bytes), NV (vectors per register block) and NAME defined.

   A tile is 64 points that lie close together. Its atoms come from one query of the cell list; then, for each
   vector of points, radial and angular values of a batch of neighbours go to a small buffer, and the expansion
   coefficients c_nlm are accumulated in registers; power spectrum and network work on data still in cache.
   For equally spaced Gaussians R_{n+1} = R_n q g_n with one q = exp(r spacing / sigma^2) per pair, so that two
   exponentials serve all radial functions. The recurrence starts in the middle, where it cannot underflow. */
#include "kernel.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef float vf __attribute__((vector_size(VBYTES)));
typedef int32_t vi __attribute__((vector_size(VBYTES)));

/* BATCH neighbours, each n_a radial and n_y angular vectors, should stay in the first-level cache. */
enum { VL = VBYTES / 4, VECTORS = TILE / VL, BATCH = 16, PANEL = 6 };

#define INLINE static inline __attribute__((always_inline))

INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf x) { *(vf *)p = x; }
INLINE vf select_vf(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE vf min_vf(vf a, vf b) { return select_vf(a < b, a, b); }
INLINE vf max_vf(vf a, vf b) { return select_vf(a > b, a, b); }

INLINE vf sqrt_vf(vf x) {
    vf y;
    for (int i = 0; i < VL; i++) y[i] = __builtin_sqrtf(x[i]);
    return y;
}

/* e^x to about 1e-7 relative (Cephes' polynomial after removal of the nearest power of two). */
INLINE vf exp_vf(vf x) {
    x = min_vf(max_vf(x, splat(-87.f)), splat(88.f));
    vf shifted = x * splat(1.44269504f) + splat(12582912.f); /* 1.5 * 2^23: rounds to the nearest integer */
    vf n = shifted - splat(12582912.f);
    vf f = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
    vf p = splat(1.9875691500e-4f);
    p = p * f + splat(1.3981999507e-3f);
    p = p * f + splat(8.3334519073e-3f);
    p = p * f + splat(4.1665795894e-2f);
    p = p * f + splat(1.6666665459e-1f);
    p = p * f + splat(5.0000001201e-1f);
    p = p * (f * f) + f + splat(1.f);
    vi power = ((vi)shifted - (vi)splat(12582912.f) + 127) << 23;
    return p * (vf)power;
}

/* (cos(pi r / r_cut) + 1) / 2 = cos(pi r / 2 r_cut)^2, for s = (pi r / 2 r_cut)^2 <= (pi/2)^2. */
INLINE vf cutoff_vf(vf s) {
    vf c = splat(-1.1470745597e-11f);
    c = c * s + splat(2.0876756988e-9f);
    c = c * s + splat(-2.7557319224e-7f);
    c = c * s + splat(2.4801587302e-5f);
    c = c * s + splat(-1.3888888889e-3f);
    c = c * s + splat(4.1666666667e-2f);
    c = c * s + splat(-0.5f);
    c = c * s + splat(1.f);
    return c * c;
}

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
    int middle, mirrored;
    float up[MAX_RADIAL], down[MAX_RADIAL], half_inverse, step;
} Radial;

static Radial radial_constants(const Descriptor *d) {
    Radial k = {.middle = d->n_radial / 2, .half_inverse = 0.5f / (d->sigma * d->sigma)};
    double x = (double)d->spacing * d->spacing * k.half_inverse;
    k.step = (float)(2.0 * d->spacing * k.half_inverse);
    for (int n = 0; n < d->n_radial; n++) {
        k.up[n] = (float)exp(-(2 * n + 1) * x);    /* R_{n+1} = R_n q up_n, and the mirrored M_{n+1} = M_n up_n / q */
        k.down[n] = (float)exp((2 * n - 1) * x);   /* R_{n-1} = R_n down_n / q */
        if (n * n * x < 20.0) k.mirrored = n + 1;  /* beyond, the mirror image is below single precision */
    }
    return k;
}

/* Radial functions times cutoff of one neighbour for VL points: out[n][VL]. */
INLINE void radial_values(const Descriptor *d, const Radial *k, vf r, vf rr, vf weight, float *out) {
    vf q = exp_vf(r * splat(k->step)), p = exp_vf(r * splat(-k->step));
    vf distance = r - splat(k->middle * d->spacing), value = weight * exp_vf(distance * distance * splat(-k->half_inverse));
    store(out + k->middle * VL, value);
    vf up = value;
    for (int n = k->middle; n + 1 < d->n_radial; n++) store(out + (n + 1) * VL, up = up * (q * splat(k->up[n])));
    vf down = value;
    for (int n = k->middle; n > 0; n--) store(out + (n - 1) * VL, down = down * (p * splat(k->down[n])));
    if (!d->smooth) return;
    vf image = weight * exp_vf(rr * splat(-k->half_inverse)); /* the mirror image at -mu_n makes R_n even in r */
    for (int n = 0; n < k->mirrored; n++) {
        store(out + n * VL, load(out + n * VL) + image);
        image = image * (p * splat(k->up[n]));
    }
}

/* Two radial functions times WIDTH angular components, summed over the batch in registers. WIDTH is a constant. */
INLINE void accumulate_block(const float *row, int count, const int WIDTH, int a, int second, int y, int n_a, int n_y,
                             float *c) {
    vf s0[9], s1[9];
#pragma GCC unroll 9
    for (int i = 0; i < WIDTH; i++) s0[i] = s1[i] = splat(0.f);
    for (int j = 0; j < count; j++, row += (n_a + n_y) * VL) {
        vf r0 = load(row + a * VL), r1 = load(row + second * VL);
#pragma GCC unroll 9
        for (int i = 0; i < WIDTH; i++) {
            vf h = load(row + (n_a + y + i) * VL);
            s0[i] += r0 * h;
            s1[i] += r1 * h;
        }
    }
#pragma GCC unroll 9
    for (int i = 0; i < WIDTH; i++) {
        float *target = c + (a * n_y + y + i) * VL, *other = c + (second * n_y + y + i) * VL;
        store(target, load(target) + s0[i]);
        if (second != a) store(other, load(other) + s1[i]);
    }
}

/* c[a][lm] += sum over the batch of radial[a] * angular[lm]; the components of l = 0 ... 4 are 1, 4, 9, 16 or 25. */
INLINE void accumulate(const float *buffer, int count, int n_a, int n_y, float *c) {
    for (int a = 0; a < n_a; a += 2) {
        int second = a + 1 < n_a ? a + 1 : a, y = 0;
        if (n_y % 8 == 1 && n_y > 1) {
            accumulate_block(buffer, count, 9, a, second, 0, n_a, n_y, c);
            y = 9;
        }
        for (; y + 8 <= n_y; y += 8) accumulate_block(buffer, count, 8, a, second, y, n_a, n_y, c);
        if (n_y - y == 4) accumulate_block(buffer, count, 4, a, second, y, n_a, n_y, c);
        if (n_y - y == 1) accumulate_block(buffer, count, 1, a, second, y, n_a, n_y, c);
    }
}

/* Power spectrum, for l, for a <= a': sum_m c_alm c_a'lm, to out[feature * TILE]. */
INLINE void contract(const float *c, int n_a, int n_y, int l_max, float *out) {
    for (int l = 0; l <= l_max; l++)
        for (int a = 0; a < n_a; a++) {
            const float *left = c + (a * n_y + l * l) * VL;
            for (int b = a; b < n_a; b++, out += TILE) {
                const float *right = c + (b * n_y + l * l) * VL;
                vf sum = load(left) * load(right);
                for (int m = 1; m < 2 * l + 1; m++) sum += load(left + m * VL) * load(right + m * VL);
                store(out, sum);
            }
        }
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

/* Images within r_cut of any point of the tile. Grows *list; returns their number, -1 when memory ran out. */
static int query(const CellList *cells, const Tile *t, float r_cut, Neighbour **list, int *capacity) {
    double reach = (double)r_cut + t->radius + 1e-5;
    int low[3], high[3], count = 0;
    for (int k = 0; k < 3; k++) {
        double lo = floor((t->centre[k] - reach - cells->origin[k]) * cells->inverse_bin);
        double hi = floor((t->centre[k] + reach - cells->origin[k]) * cells->inverse_bin);
        low[k] = lo < 0 ? 0 : lo > cells->bins[k] ? cells->bins[k] : (int)lo;
        high[k] = hi < 0 ? -1 : hi > cells->bins[k] - 1 ? cells->bins[k] - 1 : (int)hi;
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
                    Neighbour *larger = realloc(*list, sizeof(Neighbour) * 2 * (size_t)*capacity);
                    if (!larger) return -1;
                    *list = larger;
                    *capacity *= 2;
                }
                (*list)[count++] = (Neighbour){(float)x, (float)y, (float)z, a};
            }
        }
    return count;
}

/* Features of one tile: out[feature][TILE]. buffer: BATCH rows; c: coefficients of VL points. */
static void tile_features(const Descriptor *d, const Radial *k, const CellList *cells, const Tile *t, const Neighbour *list,
                          int count, float *buffer, float *c, float *out) {
    int n_a = d->n_radial * d->n_channels, n_y = (d->l_max + 1) * (d->l_max + 1);
    float soften = d->softening * d->softening, angle = 1.5707963268f / d->r_cut;
    for (int v = 0; v < VECTORS; v++) {
        vf px = load(t->x + v * VL), py = load(t->y + v * VL), pz = load(t->z + v * VL);
        float cx = 0, cy = 0, cz = 0, spread = 0;
        for (int i = 0; i < VL; i++) { cx += px[i] / VL; cy += py[i] / VL; cz += pz[i] / VL; }
        for (int i = 0; i < VL; i++) {
            float dx = px[i] - cx, dy = py[i] - cy, dz = pz[i] - cz, rr = dx * dx + dy * dy + dz * dz;
            if (rr > spread) spread = rr;
        }
        float reach = d->r_cut + sqrtf(spread) + 1e-5f;
        memset(c, 0, sizeof(float) * (size_t)(n_a * n_y * VL));
        int filled = 0;
        for (int j = 0; j < count; j++) {
            float dx = list[j].x - cx, dy = list[j].y - cy, dz = list[j].z - cz;
            if (dx * dx + dy * dy + dz * dz < reach * reach) {
                float *row = buffer + filled * (n_a + n_y) * VL;
                vf x = splat(list[j].x) - px, y = splat(list[j].y) - py, z = splat(list[j].z) - pz;
                vf rr = x * x + y * y + z * z, r = sqrt_vf(rr), s = r * splat(angle);
                vf inside = (vf)((vi)cutoff_vf(min_vf(s * s, splat(2.4674011f))) & (r < splat(d->r_cut)));
                vf inverse = d->smooth ? splat(1.f) / sqrt_vf(rr + splat(soften)) : splat(1.f) / max_vf(r, splat(1e-12f));
                harmonics(x * inverse, y * inverse, z * inverse, d->l_max, row + n_a * VL);
                const float *w = cells->weights + (long)list[j].index * d->n_channels;
                radial_values(d, k, r, rr, inside, row);
                for (int ch = d->n_channels - 1; ch >= 0; ch--)
                    for (int n = 0; n < d->n_radial; n++)
                        store(row + (ch * d->n_radial + n) * VL, load(row + n * VL) * splat(w[ch]));
                filled++;
            }
            if (filled == BATCH || (j == count - 1 && filled)) {
                accumulate(buffer, filled, n_a, n_y, c);
                filled = 0;
            }
        }
        contract(c, n_a, n_y, d->l_max, out + v * VL);
    }
}

INLINE vf silu(vf x) { return x / (splat(1.f) + exp_vf(-x)); }

/* out[m][TILE] = act(W in + b), in register blocks of six outputs by NV vectors. */
static void layer(const float *in, int n_in, const float *weights, const float *bias, int n_out, int activate, float *out) {
    for (int m = 0; m < n_out; m += PANEL, weights += (size_t)n_in * PANEL)
        for (int v = 0; v < VECTORS; v += NV) {
            vf sum[PANEL][NV];
            for (int i = 0; i < PANEL; i++)
                for (int j = 0; j < NV; j++) sum[i][j] = splat(m + i < n_out ? bias[m + i] : 0.f);
            const float *x = in + v * VL, *w = weights;
            for (int k = 0; k < n_in; k++, x += TILE, w += PANEL) {
                vf lanes[NV];
                for (int j = 0; j < NV; j++) lanes[j] = load(x + j * VL);
#pragma GCC unroll 6
                for (int i = 0; i < PANEL; i++) {
                    vf factor = splat(w[i]);
                    for (int j = 0; j < NV; j++) sum[i][j] += factor * lanes[j];
                }
            }
            for (int i = 0; i < PANEL && m + i < n_out; i++)
                for (int j = 0; j < NV; j++) store(out + (m + i) * TILE + (v + j) * VL, activate ? silu(sum[i][j]) : sum[i][j]);
        }
}

static void standardise(const Network *net, float *x) {
    for (int f = 0; f < net->width[0]; f++)
        for (int v = 0; v < VECTORS; v++) {
            float *p = x + f * TILE + v * VL;
            vf value = (load(p) - splat(net->mean[f])) * splat(net->scale[f]);
            store(p, min_vf(max_vf(value, splat(-net->clamp)), splat(net->clamp)));
        }
}

/* Leaves the logits of the tile in the buffer that it returns. */
static const float *evaluate(const Network *net, float *features, float *a, float *b) {
    standardise(net, features);
    const float *in = features;
    for (int i = 0; i < net->n_layers; i++) {
        float *out = i % 2 ? b : a;
        layer(in, net->width[i], net->weights[i], net->biases[i], net->width[i + 1], i + 1 < net->n_layers, out);
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
    Neighbour *list = malloc(sizeof(Neighbour) * (size_t)capacity);
    float *buffer = floats((size_t)(BATCH * (n_a + n_y) * VL)), *c = floats((size_t)n_a * n_y * VL);
    float *features = floats(n_features * TILE), *a = floats(widest * TILE), *b = floats(widest * TILE);
    if (!list || !buffer || !c || !features || !a || !b) goto done;
    for (long start = 0; start < n; start += TILE) {
        int size = n - start < TILE ? (int)(n - start) : TILE;
        Tile tile;
        make_tile(points + 3 * start, size, &tile);
        int count = query(cells, &tile, d->r_cut, &list, &capacity);
        if (count < 0) goto done;
        tile_features(d, &radial, cells, &tile, list, count, buffer, c, features);
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
