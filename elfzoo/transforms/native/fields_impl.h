/* Fields of atoms at points, invariants of their sum, network. Included after kernel_impl.h, once per instruction set, with
   FIELDS_NAME defined.

   The radial functions of an atom's fields are splines, so that four steps of its table matter at a point, and the sum over
   radial functions is done once per atom. Vectors lie along the columns here: points of a tile are in different steps. */
#include "kernel.h"

enum { CHUNK = 8 }; /* vectors of columns that stay in registers */

/* Of one neighbour and the points of a tile: step, spline values, harmonics [vector][lm][VL]. */
typedef struct {
    int step[TILE], inside[TILE];
    float spline[4][TILE], y[(MAX_L + 1) * (MAX_L + 1) * TILE];
} __attribute__((aligned(64))) Edges;

INLINE void edges_of(const Fields *f, const Tile *t, const Neighbour *atom, float inverse_stretch, Edges *e) {
    int n_y = (f->l_max + 1) * (f->l_max + 1);
    float per_step = (float)f->n_steps / f->r_cut;
    for (int v = 0; v < VECTORS; v++) {
        vf s = splat(inverse_stretch);
        vf x = (splat(atom->x) - load(t->x + v * VL)) * s, y = (splat(atom->y) - load(t->y + v * VL)) * s,
           z = (splat(atom->z) - load(t->z + v * VL)) * s;
        vf rr = x * x + y * y + z * z, r = rr * rsqrt_vf(max_vf(rr, splat(1e-24f)));
        vf place = min_vf(r * splat(per_step), splat((float)f->n_steps));
        vi step = __builtin_convertvector(place, vi), last = step >= f->n_steps; /* -1 where it is */
        step += last;
        vf u = place - __builtin_convertvector(step, vf), w = splat(1.f) - u, sixth = splat(1.f / 6.f);
        *(vi *)(e->step + v * VL) = step;
        *(vi *)(e->inside + v * VL) = r < splat(f->r_cut);
        store(e->spline[0] + v * VL, w * w * w * sixth);
        store(e->spline[1] + v * VL, ((splat(3.f) * u - splat(6.f)) * u * u + splat(4.f)) * sixth);
        store(e->spline[2] + v * VL, ((splat(3.f) * w - splat(6.f)) * w * w + splat(4.f)) * sixth);
        store(e->spline[3] + v * VL, u * u * u * sixth);
        vf inverse = rsqrt_vf(max_vf(rr + splat(f->softening * f->softening), splat(1e-24f)));
        /* e3nn's polar axis is y */
        harmonics(z * inverse, x * inverse, y * inverse, f->l_max, e->y + v * n_y * VL);
    }
}

/* sum[N vectors] += the four steps of the table from rows on, at point p. N is a constant. */
INLINE void add_columns(const int N, const float *rows, int n_y, int width, const Edges *e, int p, float *sum) {
    vf total[CHUNK];
    const float *y = e->y + (p / VL) * n_y * VL + p % VL;
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) total[i] = load(sum + i * VL);
    for (int k = 0; k < 4; k++) {
        float spline = e->spline[k][p];
        for (int lm = 0; lm < n_y; lm++, rows += width) {
            vf factor = splat(spline * y[lm * VL]);
#pragma GCC unroll 8
            for (int i = 0; i < N; i++) total[i] += factor * load(rows + i * VL);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) store(sum + i * VL, total[i]);
}

INLINE void add_chunk(int n, const float *rows, int n_y, int width, const Edges *e, int p, float *sum) {
    switch (n) {
    case 1: add_columns(1, rows, n_y, width, e, p, sum); break;
    case 2: add_columns(2, rows, n_y, width, e, p, sum); break;
    case 3: add_columns(3, rows, n_y, width, e, p, sum); break;
    case 4: add_columns(4, rows, n_y, width, e, p, sum); break;
    case 5: add_columns(5, rows, n_y, width, e, p, sum); break;
    case 6: add_columns(6, rows, n_y, width, e, p, sum); break;
    case 7: add_columns(7, rows, n_y, width, e, p, sum); break;
    default: add_columns(8, rows, n_y, width, e, p, sum);
    }
}

/* The fields of all neighbours at the points of a tile: sum[TILE][width]. */
static void sum_fields(const Fields *f, const CellList *cells, const float *const *tables, const Tile *t,
                       const Neighbour *list, int count, Edges *e, float *sum) {
    int n_y = (f->l_max + 1) * (f->l_max + 1), vectors = f->width / VL;
    memset(sum, 0, sizeof(float) * TILE * (size_t)f->width);
    for (int j = 0; j < count; j++) {
        float inverse = cells->weights[list[j].index], reach = f->r_cut / inverse + t->radius + 1e-5f;
        float rr = list[j].x * list[j].x + list[j].y * list[j].y + list[j].z * list[j].z;
        if (rr > reach * reach) continue; /* the list is of the largest reach */
        edges_of(f, t, list + j, inverse, e);
        const float *table = tables[list[j].index];
        for (int p = 0; p < TILE; p++) {
            if (!e->inside[p]) continue;
            const float *rows = table + (size_t)e->step[p] * n_y * f->width;
            for (int i = 0; i < vectors; i += CHUNK)
                add_chunk(vectors - i < CHUNK ? vectors - i : CHUNK, rows + i * VL, n_y, f->width, e, p,
                          sum + (size_t)p * f->width + i * VL);
        }
    }
}

INLINE void put_feature(const Network *net, int i, vf x, float *out) {
    if (net) {
        x = (x - splat(net->mean[i])) * splat(net->scale[i]);
        x = min_vf(max_vf(x, splat(-net->clamp)), splat(net->clamp));
    }
    store(out, x);
}

/* Scalars as they are, of every other kind the mean over components of products of all pairs: out[feature][TILE], from
   columns [column][TILE]; standardised where there is a network. Returns the number of features. */
static int invariants_of(const Fields *f, const Network *net, const float *columns, float *out) {
    int n = 0, column = 0;
    for (int kind = 0; kind < f->n_kinds; column += f->mul[kind] * f->dim[kind], kind++) {
        int mul = f->mul[kind], dim = f->dim[kind];
        for (int a = 0; a < mul; a++)
            for (int b = a; b < mul; b++, n++) {
                for (int v = 0; v < TILE; v += VL) {
                    const float *left = columns + (column + a) * TILE + v, *right = columns + (column + b) * TILE + v;
                    vf x = load(left);
                    if (kind) {
                        x *= load(right);
                        for (int m = 1; m < dim; m++) x += load(left + m * mul * TILE) * load(right + m * mul * TILE);
                        x *= splat(1.f / (float)dim);
                    }
                    put_feature(net, n, x, out + n * TILE + v);
                }
                if (!kind) { n++; break; }
            }
    }
    if (!f->free_atoms) return n;
    const float *parts = columns + column * TILE, *gradient = parts + BLOCKS * TILE;
    float values[2 + BLOCKS][TILE] __attribute__((aligned(64)));
    for (int i = 0; i < TILE; i++) {
        float total = 0, squared = 0;
        for (int k = 0; k < BLOCKS; k++) {
            total += parts[k * TILE + i];
            values[2 + k][i] = asinhf(parts[k * TILE + i] / f->density_scale);
        }
        for (int k = 0; k < 3; k++) squared += gradient[k * TILE + i] * gradient[k * TILE + i];
        values[0][i] = asinhf(total / f->density_scale);
        values[1][i] = asinhf(sqrtf(squared) / f->density_scale);
    }
    for (int k = 0; k < 2 + BLOCKS; k++, n++)
        for (int v = 0; v < TILE; v += VL) put_feature(net, n, load(values[k] + v), out + n * TILE + v);
    return n;
}

int FIELDS_NAME(const Fields *f, const CellList *cells, const float *const *tables, float reach, const Network *net,
                const double *points, long n, float *out) {
    int failed = 1, capacity = 256, n_features = f->free_atoms ? 2 + BLOCKS : 0;
    size_t widest = 1;
    for (int i = 1; net && i <= net->n_layers; i++) widest = (size_t)net->width[i] > widest ? (size_t)net->width[i] : widest;
    for (int i = 0; i < f->n_kinds; i++) n_features += i ? f->mul[i] * (f->mul[i] + 1) / 2 : f->mul[i];
    Neighbour *list = malloc(sizeof(Neighbour) * 2 * (size_t)capacity);
    Edges *e = aligned_alloc(64, sizeof(Edges));
    float *sum = floats((size_t)f->width * TILE), *columns = floats((size_t)f->width * TILE);
    float *features = floats((size_t)n_features * TILE), *a = floats(widest * TILE), *b = floats(widest * TILE);
    if (!list || !e || !sum || !columns || !features || !a || !b) goto done;
    for (long start = 0; start < n; start += TILE) {
        int size = n - start < TILE ? (int)(n - start) : TILE;
        Tile tile;
        make_tile(points + 3 * start, size, &tile);
        int count = query(cells, &tile, reach, &list, &capacity);
        if (count < 0) goto done;
        sum_fields(f, cells, tables, &tile, list, count, e, sum);
        for (int i = 0; i < TILE; i++)
            for (int c = 0; c < f->width; c++) columns[c * TILE + i] = sum[i * f->width + c];
        invariants_of(f, net, columns, features);
        if (net) {
            memcpy(out + start, evaluate(net, features, a, b), sizeof(float) * (size_t)size);
        } else {
            for (int i = 0; i < size; i++)
                for (int c = 0; c < n_features; c++) out[(size_t)(start + i) * (size_t)n_features + (size_t)c] = features[c * TILE + i];
        }
    }
    failed = 0;
done:
    free(list); free(e); free(sum); free(columns); free(features); free(a); free(b);
    return failed;
}
