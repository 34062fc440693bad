/* Latent functions at points, superposed from the orbitals of atoms; their ELF, what else they say, and a network. Included
   after orbitals_impl.h, once per instruction set, with LATENT_NAME defined. The formulas of the features are those of
   elfzoo/nn/pauli.py. Of some neighbours at a time all orbitals go to a small buffer, and are summed up with the atoms'
   coefficients as a product of matrices. */
#include "kernel.h"

/* FOUR: a value and three derivatives. Of SOME neighbours at a time, one part of all their orbitals stays in the first-level
   cache, where every panel of functions reads it again. */
enum { FOUR = 4, SOME = 4 };

/* ln x to about 1e-7 (Cephes), for normal x > 0; not a number of infinity, or of what is not one. */
INLINE vf log_vf(vf x) {
    vu bits = (vu)x - (vu)splat(0.707106781186547524f);
    vi e = (vi)bits >> 23; /* x = 2^e m, m in [sqrt(1/2), sqrt(2)) */
    vf m = (vf)((bits & 0x7fffffu) + (vu)splat(0.707106781186547524f)) - splat(1.f), z = m * m;
    vf p = splat(7.0376836292e-2f);
    p = p * m + splat(-1.1514610310e-1f);
    p = p * m + splat(1.1676998740e-1f);
    p = p * m + splat(-1.2420140846e-1f);
    p = p * m + splat(1.4249322787e-1f);
    p = p * m + splat(-1.6668057665e-1f);
    p = p * m + splat(2.0000714765e-1f);
    p = p * m + splat(-2.4999993993e-1f);
    p = p * m + splat(3.3333331174e-1f);
    vf n = __builtin_convertvector(e, vf);
    return m + (p * z * m - splat(0.5f) * z + n * splat(-2.12194440e-4f)) + n * splat(0.693359375f) + (x - x);
}

/* out[HEIGHT][TILE] += coefficients of the neighbours times their orbitals, for one part and one panel. HEIGHT is a
   constant. */
INLINE void add_panel(const int HEIGHT, const float *const *coefficients, size_t panel, const float *orbitals, int count,
                      int size, float *out) {
    for (int v = 0; v < VECTORS; v += NV) {
        vf sum[PANEL][NV];
#pragma GCC unroll 6
        for (int i = 0; i < HEIGHT; i++)
            for (int j = 0; j < NV; j++) sum[i][j] = load(out + i * TILE + (v + j) * VL);
        for (int a = 0; a < count; a++)
            multiply_panel(HEIGHT, orbitals + (size_t)a * FOUR * (size_t)size * TILE + v * VL, coefficients[a] + panel, size,
                           sum);
#pragma GCC unroll 6
        for (int i = 0; i < HEIGHT; i++)
            for (int j = 0; j < NV; j++) store(out + i * TILE + (v + j) * VL, sum[i][j]);
    }
}

/* sum[part][function][TILE] += what some neighbours add. Not inlined, so that all registers are free for the sums. */
static __attribute__((noinline)) void add_atoms(const float *const *coefficients, const float *orbitals, int count, int size,
                                                int n_functions, float *sum) {
    for (int part = 0; part < FOUR; part++)
        for (int first = 0; first < n_functions; first += PANEL) {
            size_t panel = (size_t)first * (size_t)size; /* panels are [size][PANEL] */
            const float *x = orbitals + (size_t)part * (size_t)size * TILE;
            float *out = sum + ((size_t)part * (size_t)n_functions + (size_t)first) * TILE;
            switch (n_functions - first) {
            case 1: add_panel(1, coefficients, panel, x, count, size, out); break;
            case 2: add_panel(2, coefficients, panel, x, count, size, out); break;
            case 3: add_panel(3, coefficients, panel, x, count, size, out); break;
            case 4: add_panel(4, coefficients, panel, x, count, size, out); break;
            case 5: add_panel(5, coefficients, panel, x, count, size, out); break;
            default: add_panel(6, coefficients, panel, x, count, size, out);
            }
        }
}

/* Inner products of all pairs of a kind's functions, [axis][component][copy] at f; returns the place of the next feature. */
INLINE int pairs_of(const float *f, int axes, size_t axis, int mul, int dim, const Network *net, int n, float *out) {
    for (int a = 0; a < mul; a++)
        for (int b = a; b < mul; b++, n++) {
            vf x = splat(0.f);
            for (int i = 0; i < axes; i++)
                for (int m = 0; m < dim; m++) {
                    const float *row = f + (size_t)i * axis + (size_t)(m * mul * TILE);
                    x += load(row + a * TILE) * load(row + b * TILE);
                }
            put_feature(net, n, x, out + n * TILE);
        }
    return n;
}

/* Features of VL points from values and derivatives at sum[part][function][TILE], which are changed: out[feature][TILE].
   Returns the logit of the functions' ELF. */
INLINE vf pauli_of(const Latent *l, const Network *net, float *sum, float *out) {
    const size_t axis = (size_t)l->n_functions * TILE;
    float *slopes = sum + axis;
    vf n = splat(l->density), g[3] = {splat(0.f), splat(0.f), splat(0.f)};
    for (int c = 0; c < l->n_functions; c++) {
        vf f = load(sum + c * TILE);
        n += f * f;
        for (int i = 0; i < 3; i++) g[i] += f * load(slopes + (size_t)i * axis + c * TILE);
    }
    vf log_n = log_vf(n), inverse_n = reciprocal_vf(n), root = rsqrt_vf(n);
    vf uniform = splat(l->uniform) * exp_vf(splat(5.f / 3.f) * log_n), inverse_uniform = reciprocal_vf(uniform);
    vf scale = rsqrt_vf(splat(2.f) * uniform), steep = root * rsqrt_vf(uniform);
    vf boson = splat(0.5f) * (g[0] * g[0] + g[1] * g[1] + g[2] * g[2]) * inverse_n * inverse_uniform;
    vf chi = splat(l->density) * boson * inverse_n, drift[3], along[3];
    for (int i = 0; i < 3; i++) drift[i] = g[i] * inverse_n, along[i] = g[i] * steep;
    for (int c = 0; c < l->n_functions; c++) {
        vf f = load(sum + c * TILE);
        for (int i = 0; i < 3; i++) {
            float *at = slopes + (size_t)i * axis + c * TILE;
            vf a = (load(at) - f * drift[i]) * scale;
            store(at, a);
            chi += a * a;
        }
        store(sum + c * TILE, f * root);
    }
    vf logit = splat(-2.f) * log_vf(chi + splat(l->chi));
    put_feature(net, 0, logit, out);
    put_feature(net, 1, log_n, out + TILE);
    put_feature(net, 2, log_vf(boson + splat(l->chi)), out + 2 * TILE);
    int k = 3, column = 0;
    for (int c = 0; c < l->n_scalars; c++, k++) put_feature(net, k, load(sum + c * TILE), out + k * TILE);
    for (int kind = 0; kind < l->n_kinds; column += l->mul[kind] * l->dim[kind], kind++)
        if (kind) k = pairs_of(sum + column * TILE, 1, axis, l->mul[kind], l->dim[kind], net, k, out);
    column = 0;
    for (int kind = 0; kind < l->n_kinds; column += l->mul[kind] * l->dim[kind], kind++)
        k = pairs_of(slopes + column * TILE, 3, axis, l->mul[kind], l->dim[kind], net, k, out);
    for (int c = 0; c < l->n_scalars; c++, k++) {
        vf x = splat(0.f);
        for (int i = 0; i < 3; i++) x += load(slopes + (size_t)i * axis + c * TILE) * along[i];
        put_feature(net, k, x, out + k * TILE);
    }
    return logit;
}

static int latent_features(const Latent *l) {
    int n = 3 + 2 * l->n_scalars;
    for (int i = 0; i < l->n_kinds; i++) n += (i ? 2 : 1) * (l->mul[i] * (l->mul[i] + 1) / 2);
    return n;
}

int LATENT_NAME(const Basis *basis, const Latent *l, const CellList *cells, const float *const *coefficients,
                const Network *net, float slope, const double *points, long n, float *out) {
    int failed = 1, capacity = 256, n_features = latent_features(l), size = (int)orbitals_of(basis);
    size_t widest = 1, of_atom = (size_t)FOUR * (size_t)size * TILE;
    for (int i = 1; net && i <= net->n_layers; i++) widest = (size_t)net->width[i] > widest ? (size_t)net->width[i] : widest;
    Neighbour *list = malloc(sizeof(Neighbour) * 2 * (size_t)capacity);
    float *orbitals = floats(SOME * of_atom), *sum = floats((size_t)FOUR * (size_t)l->n_functions * TILE);
    float *features = floats((size_t)n_features * TILE), *a = floats(widest * TILE), *b = floats(widest * TILE);
    float logits[TILE] __attribute__((aligned(64)));
    if (!list || !orbitals || !sum || !features || !a || !b) goto done;
    for (long start = 0; start < n; start += TILE) {
        int count = n - start < TILE ? (int)(n - start) : TILE;
        Tile tile;
        make_tile(points + 3 * start, count, &tile);
        int near = query(cells, &tile, basis->r_cut * l->unit, &list, &capacity);
        if (near < 0) goto done;
        memset(sum, 0, sizeof(float) * (size_t)FOUR * (size_t)l->n_functions * TILE);
        for (int first = 0; first < near; first += SOME) {
            int some = near - first < SOME ? near - first : SOME;
            const float *chosen[SOME];
            for (int j = 0; j < some; j++) {
                const Neighbour *atom = list + first + j;
                chosen[j] = coefficients[atom->index];
                for (int v = 0; v < VECTORS; v++) {
                    vf per_length = splat(1.f / l->unit), x = (load(tile.x + v * VL) - splat(atom->x)) * per_length;
                    vf y = (load(tile.y + v * VL) - splat(atom->y)) * per_length;
                    vf z = (load(tile.z + v * VL) - splat(atom->z)) * per_length;
                    orbital_rows(basis, x, y, z, NULL, orbitals + (size_t)j * of_atom + v * VL, TILE, (size_t)size * TILE);
                }
            }
            add_atoms(chosen, orbitals, some, size, l->n_functions, sum);
        }
        for (int v = 0; v < TILE; v += VL) store(logits + v, pauli_of(l, net, sum + v, features + v));
        if (net) {
            const float *correction = evaluate(net, features, a, b);
            for (int i = 0; i < count; i++) out[start + i] = slope * logits[i] + correction[i];
        } else {
            for (int i = 0; i < count; i++)
                for (int c = 0; c < n_features; c++) out[(size_t)(start + i) * (size_t)n_features + (size_t)c] = features[c * TILE + i];
        }
    }
    failed = 0;
done:
    free(list); free(orbitals); free(sum); free(features); free(a); free(b);
    return failed;
}
