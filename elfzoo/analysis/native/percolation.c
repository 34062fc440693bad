/* Where the superlevel sets of a periodic scalar field begin to span the crystal.
 *
 * Grid points are visited in descending order of value and joined with the neighbours visited before them. Each node of
 * the union-find keeps the cell in which it lies relative to its root; an edge inside one component that closes with
 * another cell is a winding vector, and the rank of a component's winding vectors is the number of directions in which
 * it spans. Python sees an empty module; ctypes calls elfzoo_percolation, which releases the interpreter lock. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define DIGIT 11
#define BUCKETS (1 << DIGIT)
#define PASSES 6                      /* of 11 bits: 64-bit keys */
#define BINS 4096
#define PARTS 10                      /* that the points are ordered in */
#define AHEAD 12                      /* points between the fetching of a node's neighbourhood and its visit */
#define LONGEST ((int64_t)1 << 20)    /* determinants of winding vectors up to this fit 64 bits */

enum { DONE, NO_MEMORY, TOO_LONG };

/* ---- order ---- */

typedef struct {
    uint64_t *key;
    uint32_t *point;
} Records;

/* Bits of a number such that the largest number has the smallest key. */
static uint64_t descending_key(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? bits : ~(bits | (uint64_t)1 << 63);
}

static void scatter(Records from, Records to, int64_t n, int shift, const int64_t *count) {
    int64_t place[BUCKETS], total = 0;
    for (int b = 0; b < BUCKETS; b++) {
        place[b] = total;
        total += count[b];
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t p = place[from.key[i] >> shift & (BUCKETS - 1)]++;
        to.key[p] = from.key[i];
        to.point[p] = from.point[i];
    }
}

/* Points in descending order of value, a part of them at a time: regions span long before the lowest ones matter. */
typedef struct {
    const void *values;
    int is_double;
    int64_t n, count[BINS];
    uint64_t lowest; /* key */
    int shift, bin;  /* a point is in bin (key - lowest) >> shift; those below bin are done */
    Records from, to;
    int64_t room;
} Order;

static uint64_t key_of(const Order *o, int64_t i) {
    return descending_key(o->is_double ? ((const double *)o->values)[i] : (double)((const float *)o->values)[i]);
}

static void count_bins(Order *o) {
    uint64_t highest = 0;
    o->lowest = UINT64_MAX;
    for (int64_t i = 0; i < o->n; i++) {
        const uint64_t key = key_of(o, i);
        if (key < o->lowest) o->lowest = key;
        if (key > highest) highest = key;
    }
    while ((highest - o->lowest) >> o->shift >= BINS) o->shift++;
    for (int64_t i = 0; i < o->n; i++) o->count[(key_of(o, i) - o->lowest) >> o->shift]++;
}

static int make_room(Order *o, int64_t m) {
    if (m <= o->room) return 1;
    free(o->from.key), free(o->from.point), free(o->to.key), free(o->to.point);
    o->from = (Records){malloc(m * sizeof(uint64_t)), malloc(m * sizeof(uint32_t))};
    o->to = (Records){malloc(m * sizeof(uint64_t)), malloc(m * sizeof(uint32_t))};
    o->room = m;
    return o->from.key && o->from.point && o->to.key && o->to.point;
}

static void fill_records(Order *o, uint64_t first, uint64_t end, int64_t count[PASSES][BUCKETS]) {
    int64_t p = 0;
    for (int64_t i = 0; i < o->n; i++) {
        const uint64_t key = key_of(o, i) - o->lowest, bin = key >> o->shift;
        if (bin < first || bin >= end) continue;
        o->from.key[p] = key;
        o->from.point[p++] = (uint32_t)i;
        for (int pass = 0; pass < PASSES; pass++) count[pass][key >> pass * DIGIT & (BUCKETS - 1)]++;
    }
}

/* Number of points in the next part, which o->from.point then holds; 0 after the last, -1 without memory. */
static int64_t next_part(Order *o) {
    const int first = o->bin;
    int64_t m = 0;
    while (o->bin < BINS && m <= o->n / PARTS) m += o->count[o->bin++];
    int64_t(*count)[BUCKETS] = calloc(PASSES, sizeof *count);
    if (!count || !make_room(o, m)) m = -1;
    if (m > 0) {
        fill_records(o, (uint64_t)first, (uint64_t)o->bin, count);
        for (int pass = 0; pass < PASSES; pass++) {
            if (count[pass][o->from.key[0] >> pass * DIGIT & (BUCKETS - 1)] == m) continue; /* one digit for all */
            scatter(o->from, o->to, m, pass * DIGIT, count[pass]);
            const Records sorted = o->to;
            o->to = o->from;
            o->from = sorted;
        }
    }
    free(count);
    return m;
}

/* ---- neighbours ---- */

typedef struct {
    int n, offset[26][3];
    uint32_t link[26]; /* which neighbours of a point are neighbours of each other */
} Stencil;

/* 6: faces. 14: the edges of the Freudenthal (Kuhn) triangulation, offsets without mixed signs. 26: all. */
static int is_neighbour(const int *d, int connectivity) {
    const int size = abs(d[0]) + abs(d[1]) + abs(d[2]), largest = abs(d[0]) | abs(d[1]) | abs(d[2]);
    if (largest != 1) return 0;
    return connectivity == 26 || size == 1 || (connectivity == 14 && abs(d[0] + d[1] + d[2]) == size);
}

/* reducible: no point is its own neighbour, so that neighbours that are each other's were joined before. */
static Stencil make_stencil(int connectivity, int reducible) {
    Stencil s = {0};
    for (int code = 0; code < 27; code++) {
        const int d[3] = {code / 9 - 1, code / 3 % 3 - 1, code % 3 - 1};
        if (is_neighbour(d, connectivity)) memcpy(s.offset[s.n++], d, sizeof d);
    }
    for (int a = 0; a < s.n && reducible; a++)
        for (int b = 0; b < s.n; b++) {
            const int *p = s.offset[a], *q = s.offset[b], d[3] = {q[0] - p[0], q[1] - p[1], q[2] - p[2]};
            if (is_neighbour(d, connectivity)) s.link[a] |= (uint32_t)1 << b;
        }
    return s;
}

/* The neighbours in mask that hang together with the lowest one without the point itself. */
static uint32_t link_component(uint32_t mask, const uint32_t *link) {
    uint32_t part = mask & -mask, front = part;
    while (front) {
        const uint32_t grown = link[__builtin_ctz(front)] & mask & ~part;
        front = (front & (front - 1)) | grown;
        part |= grown;
    }
    return part;
}

/* ---- winding lattices ---- */

typedef struct {
    int rank;
    int64_t vector[3][3];
} Lattice;

static int64_t determinant(const int64_t *a, const int64_t *b, const int64_t *c) {
    return a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0]);
}

static int independent(const Lattice *l, const int64_t *w) {
    const int64_t *a = l->vector[0], *b = l->vector[1];
    if (l->rank == 0) return w[0] || w[1] || w[2];
    if (l->rank == 1) return a[0] * w[1] != a[1] * w[0] || a[1] * w[2] != a[2] * w[1] || a[2] * w[0] != a[0] * w[2];
    return l->rank == 2 && determinant(a, b, w) != 0;
}

static void extend(Lattice *l, const int64_t *w) {
    if (independent(l, w)) memcpy(l->vector[l->rank++], w, sizeof l->vector[0]);
}

/* ---- union-find ---- */

typedef struct {
    int32_t parent;   /* a node; of a root minus the size of its component */
    int32_t shift[3]; /* cell of this node relative to its parent; of a root shift[0] is its lattice, 0 where none */
} Node;

typedef struct {
    Node *node;
    Lattice *lattice; /* [0] is empty and stands for components that do not wind */
    int64_t used, room;
    Lattice all;
    int best; /* highest rank of one component */
} Forest;

/* The root of a node; cell receives the node's cell relative to it. Halves the path. */
static int32_t find(Node *node, int32_t x, int64_t *cell) {
    cell[0] = cell[1] = cell[2] = 0;
    while (node[x].parent >= 0) {
        const Node *up = &node[node[x].parent];
        if (up->parent >= 0) {
            for (int i = 0; i < 3; i++) node[x].shift[i] += up->shift[i];
            node[x].parent = up->parent;
        }
        for (int i = 0; i < 3; i++) cell[i] += node[x].shift[i];
        x = node[x].parent;
    }
    return x;
}

static int add_winding(Forest *f, int32_t root, const int64_t *w) {
    for (int i = 0; i < 3; i++)
        if (w[i] > LONGEST || w[i] < -LONGEST) return TOO_LONG;
    int32_t *slot = &f->node[root].shift[0];
    if (*slot == 0) {
        if (f->used == f->room) {
            Lattice *grown = realloc(f->lattice, 2 * f->room * sizeof *grown);
            if (!grown) return NO_MEMORY;
            f->lattice = grown;
            f->room *= 2;
        }
        memset(&f->lattice[f->used], 0, sizeof(Lattice));
        *slot = (int32_t)f->used++;
    }
    Lattice *l = &f->lattice[*slot];
    extend(l, w);
    extend(&f->all, w);
    if (l->rank > f->best) f->best = l->rank;
    return DONE;
}

/* Hang root b below root a, b's cell being at w relative to a's. */
static void hang(Forest *f, int32_t a, int32_t b, const int64_t *w) {
    const int32_t mine = f->node[a].shift[0], other = f->node[b].shift[0];
    f->node[a].parent += f->node[b].parent;
    f->node[b] = (Node){a, {(int32_t)w[0], (int32_t)w[1], (int32_t)w[2]}};
    if (!mine) f->node[a].shift[0] = other;
    if (!mine || !other) return;
    for (int i = 0; i < f->lattice[other].rank; i++) extend(&f->lattice[mine], f->lattice[other].vector[i]);
    if (f->lattice[mine].rank > f->best) f->best = f->lattice[mine].rank;
}

/* Join node p in cell 0 with node q in cell w. */
static int join(Forest *f, int32_t p, int32_t q, const int *w) {
    int64_t at_p[3], at_q[3], shift[3], back[3];
    const int32_t a = find(f->node, p, at_p), b = find(f->node, q, at_q);
    for (int i = 0; i < 3; i++) {
        shift[i] = at_p[i] + w[i] - at_q[i];
        back[i] = -shift[i];
    }
    if (a == b) return shift[0] || shift[1] || shift[2] ? add_winding(f, a, shift) : DONE;
    if (f->node[a].parent <= f->node[b].parent)
        hang(f, a, b, shift);
    else
        hang(f, b, a, back);
    return DONE;
}

/* ---- the visit ---- */

typedef struct {
    int64_t step[3]; /* to the neighbour at offset -1, 0, 1 along one axis, in flat index */
    int wrap[3];     /* and the cell it lies in */
} Axis;

static Axis axis_steps(int64_t i, int64_t n, int64_t stride) {
    Axis a = {{-stride, 0, stride}, {0, 0, 0}};
    if (i == 0) a.step[0] += n * stride, a.wrap[0] = -1;
    if (i == n - 1) a.step[2] -= n * stride, a.wrap[2] = 1;
    return a;
}

static void axes_of(int64_t point, const int64_t *shape, Axis axes[3]) {
    const int64_t row = point / shape[2], i = row / shape[1];
    axes[0] = axis_steps(i, shape[0], shape[1] * shape[2]);
    axes[1] = axis_steps(row - i * shape[1], shape[1], shape[2]);
    axes[2] = axis_steps(point - row * shape[2], shape[2], 1);
}

/* Add a point and join it with one neighbour of every part of its visited neighbourhood. */
static int visit(Forest *f, const Stencil *s, const int64_t *shape, uint64_t *visited, int64_t point) {
    Axis axes[3];
    int64_t neighbour[26];
    uint32_t mask = 0;
    f->node[point] = (Node){-1, {0, 0, 0}};
    visited[point >> 6] |= (uint64_t)1 << (point & 63);
    axes_of(point, shape, axes);
    for (int k = 0; k < s->n; k++) {
        const int *d = s->offset[k];
        const int64_t q = point + axes[0].step[d[0] + 1] + axes[1].step[d[1] + 1] + axes[2].step[d[2] + 1];
        neighbour[k] = q;
        mask |= (uint32_t)(visited[q >> 6] >> (q & 63) & 1) << k;
    }
    for (; mask; mask &= ~link_component(mask, s->link)) {
        const int k = __builtin_ctz(mask), *d = s->offset[k];
        const int wrap[3] = {axes[0].wrap[d[0] + 1], axes[1].wrap[d[1] + 1], axes[2].wrap[d[2] + 1]};
        const int failed = join(f, (int32_t)point, (int32_t)neighbour[k], wrap);
        if (failed) return failed;
    }
    return DONE;
}

/* Ask for the nodes around a point early: they lie in nine distant rows of memory. */
static void fetch(const Forest *f, const int64_t *shape, int64_t n, int64_t point) {
    for (int code = 0; code < 9; code++) {
        int64_t q = point + (code / 3 - 1) * shape[1] * shape[2] + (code % 3 - 1) * shape[2];
        q += q < 0 ? n : q >= n ? -n : 0;
        __builtin_prefetch(&f->node[q], 1);
    }
}

/* values: float or double, finite, C order, fewer than 2^31. point: flat indices of the points whose visit makes the
 * rank of the best component reach 1, 2, 3, then those for the rank of all components together. */
EXPORT int elfzoo_percolation(const void *values, int is_double, const int64_t *shape, int connectivity,
                              int64_t *point) {
    const int64_t n = shape[0] * shape[1] * shape[2];
    const Stencil s = make_stencil(connectivity, shape[0] > 1 && shape[1] > 1 && shape[2] > 1);
    Order *o = calloc(1, sizeof *o);
    uint64_t *visited = calloc((n + 63) / 64, sizeof *visited);
    Forest f = {.node = malloc(n * sizeof(Node)), .lattice = calloc(16, sizeof(Lattice)), .used = 1, .room = 16};
    int failed = o && visited && f.node && f.lattice ? DONE : NO_MEMORY, best = 0, all = 0;
    if (!failed) {
        o->values = values, o->is_double = is_double, o->n = n;
        count_bins(o);
    }
    for (int64_t m = 1; m > 0 && best < 3 && !failed;) {
        m = next_part(o);
        if (m < 0) failed = NO_MEMORY;
        for (int64_t t = 0; t < m && best < 3 && !failed; t++) {
            const uint32_t *order = o->from.point;
            if (t + AHEAD < m) fetch(&f, shape, n, order[t + AHEAD]);
            failed = visit(&f, &s, shape, visited, order[t]);
            while (best < f.best) point[best++] = order[t];
            while (all < f.all.rank) point[3 + all++] = order[t];
        }
    }
    if (o) free(o->from.key), free(o->from.point), free(o->to.key), free(o->to.point);
    free(o), free(visited), free(f.node), free(f.lattice);
    return failed;
}

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_percolation", .m_size = 0};

PyMODINIT_FUNC PyInit__percolation(void) { return PyModule_Create(&definition); }
