/* Fields of atoms at points, invariants of their sum, network. Included after kernel_impl.h, once per instruction set, with
   FIELDS_NAME defined.

   The radial functions of an atom's fields are splines, so that four steps of its table matter at a point, and the sum over
   radial functions is done once per atom. Vectors lie along the columns here: points of a tile are in different steps. Atoms
   are taken in turn for a bunch of tiles: what these read of an atom's table is too much to be fetched for each of them. */
#include "kernel.h"

/* GROUP points in the same step share what is read of its rows; GROUP x CHUNK sums, vectors of columns, stay in registers. */
#if VBYTES == 64 || defined(__aarch64__)
#define CHUNK 6
#else
#define CHUNK 3
#endif
enum { GROUP = 4, BUNCH = 8, TOGETHER = 2, POINTS = TOGETHER * TILE };

/* Of one neighbour and the points of some tiles: spline values times harmonics, and the points in reach in order of their
   step. */
typedef struct {
    int step[POINTS], inside[POINTS], count, point[POINTS];
    float factor[4 * (MAX_L + 1) * (MAX_L + 1) * POINTS]; /* [step][lm][POINTS] */
} __attribute__((aligned(64))) Edges;

/* Points in reach, those of the same step one after another: a stable sort by counting. */
static void in_order(const Fields *f, Edges *e) {
    int lowest = f->n_steps, highest = -1, start[POINTS + 1] = {0};
    e->count = 0;
    for (int p = 0; p < POINTS; p++) {
        if (!e->inside[p]) continue;
        if (e->step[p] < lowest) lowest = e->step[p];
        if (e->step[p] > highest) highest = e->step[p];
        e->point[e->count++] = p;
    }
    if (highest - lowest >= POINTS) return; /* far apart: hardly two in one step */
    for (int k = 0; k < e->count; k++) start[e->step[e->point[k]] - lowest + 1]++;
    for (int k = 0; k < POINTS; k++) start[k + 1] += start[k];
    for (int p = 0; p < POINTS; p++)
        if (e->inside[p]) e->point[start[e->step[p] - lowest]++] = p;
}

/* Points of a tile, from first on. */
INLINE void edges_of(const Fields *f, const Tile *t, const Neighbour *atom, float inverse_stretch, int first, Edges *e) {
    int n_y = (f->l_max + 1) * (f->l_max + 1);
    float per_step = (float)f->n_steps / f->r_cut, angular[(MAX_L + 1) * (MAX_L + 1) * VL] __attribute__((aligned(64)));
    for (int v = 0; v < VECTORS; v++) {
        vf s = splat(inverse_stretch);
        vf x = (splat(atom->x) - load(t->x + v * VL)) * s, y = (splat(atom->y) - load(t->y + v * VL)) * s,
           z = (splat(atom->z) - load(t->z + v * VL)) * s;
        vf rr = x * x + y * y + z * z, r = rr * rsqrt_vf(max_vf(rr, splat(1e-24f)));
        vf place = min_vf(r * splat(per_step), splat((float)f->n_steps));
        vi step = __builtin_convertvector(place, vi), last = step >= f->n_steps; /* -1 where it is */
        step += last;
        vf u = place - __builtin_convertvector(step, vf), w = splat(1.f) - u, sixth = splat(1.f / 6.f);
        *(vi *)(e->step + first + v * VL) = step;
        *(vi *)(e->inside + first + v * VL) = r < splat(f->r_cut);
        vf spline[4] = {w * w * w * sixth, ((splat(3.f) * u - splat(6.f)) * u * u + splat(4.f)) * sixth,
                        ((splat(3.f) * w - splat(6.f)) * w * w + splat(4.f)) * sixth, u * u * u * sixth};
        vf inverse = rsqrt_vf(max_vf(rr + splat(f->softening * f->softening), splat(1e-24f)));
        /* e3nn's polar axis is y */
        harmonics(z * inverse, x * inverse, y * inverse, f->l_max, angular);
        for (int k = 0; k < 4; k++)
            for (int lm = 0; lm < n_y; lm++)
                store(e->factor + (k * n_y + lm) * POINTS + first + v * VL, spline[k] * load(angular + lm * VL));
    }
}

/* sum[point][N vectors] += four steps of the table, from rows on, at HEIGHT points. HEIGHT and N are constants. */
INLINE void add_columns(const int HEIGHT, const int N, const float *rows, int n_y, int width, const float *factor,
                        const int *point, float *sum) {
    vf total[GROUP][CHUNK];
#pragma GCC unroll 4
    for (int g = 0; g < HEIGHT; g++)
#pragma GCC unroll 6
        for (int i = 0; i < N; i++) total[g][i] = load(sum + (size_t)point[g] * width + i * VL);
    for (int k = 0; k < 4 * n_y; k++, rows += width, factor += POINTS) {
        vf row[CHUNK];
#pragma GCC unroll 6
        for (int i = 0; i < N; i++) row[i] = load(rows + i * VL);
#pragma GCC unroll 4
        for (int g = 0; g < HEIGHT; g++) {
            vf at = splat(factor[point[g]]);
#pragma GCC unroll 6
            for (int i = 0; i < N; i++) total[g][i] += at * row[i];
        }
    }
#pragma GCC unroll 4
    for (int g = 0; g < HEIGHT; g++)
#pragma GCC unroll 6
        for (int i = 0; i < N; i++) store(sum + (size_t)point[g] * width + i * VL, total[g][i]);
}

INLINE void add_chunk(const int HEIGHT, int n, const float *rows, int n_y, int width, const float *factor, const int *point,
                      float *sum) {
    switch (n) {
    case 1: add_columns(HEIGHT, 1, rows, n_y, width, factor, point, sum); break;
    case 2: add_columns(HEIGHT, 2, rows, n_y, width, factor, point, sum); break;
#if CHUNK > 3
    case 3: add_columns(HEIGHT, 3, rows, n_y, width, factor, point, sum); break;
    case 4: add_columns(HEIGHT, 4, rows, n_y, width, factor, point, sum); break;
    case 5: add_columns(HEIGHT, 5, rows, n_y, width, factor, point, sum); break;
#endif
    default: add_columns(HEIGHT, CHUNK, rows, n_y, width, factor, point, sum);
    }
}

/* Points of the same step, at most GROUP; all columns, in chunks of about equal size. */
static void add_group(int height, const float *rows, int n_y, int width, const float *factor, const int *point, float *sum) {
    int vectors = width / VL, chunks = (vectors + CHUNK - 1) / CHUNK;
    for (int c = 0; c < chunks; c++) {
        int start = c * vectors / chunks, n = (c + 1) * vectors / chunks - start;
        switch (height) {
        case 1: add_chunk(1, n, rows + start * VL, n_y, width, factor, point, sum + start * VL); break;
        case 2: add_chunk(2, n, rows + start * VL, n_y, width, factor, point, sum + start * VL); break;
        case 3: add_chunk(3, n, rows + start * VL, n_y, width, factor, point, sum + start * VL); break;
        default: add_chunk(GROUP, n, rows + start * VL, n_y, width, factor, point, sum + start * VL);
        }
    }
}

/* A tile without points around others. */
static Tile around(const Tile *tiles, int n) {
    Tile found;
    for (int k = 0; k < 3; k++) {
        found.centre[k] = 0;
        for (int b = 0; b < n; b++) found.centre[k] += tiles[b].centre[k] / n;
    }
    found.radius = 0;
    for (int b = 0; b < n; b++) {
        double rr = 0;
        for (int k = 0; k < 3; k++) rr += pow(tiles[b].centre[k] - found.centre[k], 2);
        found.radius = fmaxf(found.radius, (float)sqrt(rr) * 1.000001f + tiles[b].radius);
    }
    return found;
}

/* What an atom's fields are at the points of at most TOGETHER tiles: added to sum[tile][TILE][width]. */
static void add_atom(const Fields *f, const Tile *tiles, int n, const double *position, float inverse_stretch,
                     const float *table, Edges *e, float *sum) {
    int n_y = (f->l_max + 1) * (f->l_max + 1), reached = 0;
    memset(e->inside, 0, sizeof e->inside);
    for (const Tile *t = tiles; t < tiles + n; t++) {
        Neighbour atom = {(float)(position[0] - t->centre[0]), (float)(position[1] - t->centre[1]),
                          (float)(position[2] - t->centre[2]), 0};
        float rr = atom.x * atom.x + atom.y * atom.y + atom.z * atom.z;
        float reach = f->r_cut / inverse_stretch + t->radius + 1e-5f;
        if (rr > reach * reach) continue;
        edges_of(f, t, &atom, inverse_stretch, (int)(t - tiles) * TILE, e);
        reached = 1;
    }
    if (!reached) return;
    in_order(f, e);
    for (int p = 0, height; p < e->count; p += height) {
        int step = e->step[e->point[p]];
        for (height = 1; height < GROUP && p + height < e->count && e->step[e->point[p + height]] == step;) height++;
        add_group(height, table + (size_t)step * n_y * f->width, n_y, f->width, e->factor, e->point + p, sum);
    }
}

/* The fields of all neighbours at the points of some tiles: sum[tile][TILE][width]. */
static void sum_fields(const Fields *f, const CellList *cells, const float *const *tables, const Tile *tiles, int n,
                       const Neighbour *list, int count, Edges *e, float *sum) {
    const size_t size = TILE * (size_t)f->width;
    memset(sum, 0, sizeof(float) * (size_t)n * size);
    for (int j = 0; j < count; j++) {
        long i = list[j].index;
        for (int b = 0; b < n; b += TOGETHER)
            add_atom(f, tiles + b, n - b < TOGETHER ? n - b : TOGETHER, cells->positions + 3 * i, cells->weights[i], tables[i],
                     e, sum + (size_t)b * size);
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
    float *sum = floats((size_t)f->width * TILE * BUNCH), *columns = floats((size_t)f->width * TILE);
    float *features = floats((size_t)n_features * TILE), *a = floats(widest * TILE), *b = floats(widest * TILE);
    if (!list || !e || !sum || !columns || !features || !a || !b) goto done;
    for (long first = 0; first < n; first += BUNCH * TILE) {
        Tile tiles[BUNCH], all;
        int bunch = 0, count;
        for (long start = first; start < n && bunch < BUNCH; start += TILE)
            make_tile(points + 3 * start, n - start < TILE ? (int)(n - start) : TILE, tiles + bunch++);
        all = around(tiles, bunch);
        count = query(cells, &all, reach, &list, &capacity);
        if (count < 0) goto done;
        sum_fields(f, cells, tables, tiles, bunch, list, count, e, sum);
        for (int t = 0; t < bunch; t++) {
            long start = first + t * TILE;
            int size = n - start < TILE ? (int)(n - start) : TILE;
            for (int i = 0; i < TILE; i++)
                for (int c = 0; c < f->width; c++) columns[c * TILE + i] = sum[(t * TILE + i) * f->width + c];
            invariants_of(f, net, columns, features);
            if (net) {
                memcpy(out + start, evaluate(net, features, a, b), sizeof(float) * (size_t)size);
            } else {
                for (int i = 0; i < size; i++)
                    for (int c = 0; c < n_features; c++) out[(size_t)(start + i) * (size_t)n_features + (size_t)c] = features[c * TILE + i];
            }
        }
    }
    failed = 0;
done:
    free(list); free(e); free(sum); free(columns); free(features); free(a); free(b);
    return failed;
}
