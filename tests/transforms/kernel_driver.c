/* Runs one job of a baseline kernel: reads it from standard input as test_other_processors.py writes it, writes floats. The
   first number says which: 0 for power spectra, 1 for fields of atoms, 2 for confined orbitals, 3 for functions superposed
   from these, 4 for a periodic spline, which gives doubles. */
#include <stdio.h>
#include <stdlib.h>

#include "kernel.h"

static void *array(long bytes) {
    void *p = NULL;
    if (bytes == 0) return NULL;
    if (posix_memalign(&p, 64, (size_t)bytes) || fread(p, 1, (size_t)bytes, stdin) != (size_t)bytes) exit(2);
    return p;
}

static long number(void) {
    long long x;
    if (fread(&x, sizeof x, 1, stdin) != 1) exit(2);
    return (long)x;
}

static Basis basis(int *size) {
    Basis b = {.n_shells = (int)number()};
    *size = 0;
    for (int i = 0; i < b.n_shells; i++) b.l[i] = (int)number(), *size += 2 * b.l[i] + 1;
    float *lengths = array((2 + 2 * b.n_shells) * (long)sizeof(float));
    b.r_cut = lengths[0], b.softening = lengths[1];
    for (int i = 0; i < b.n_shells; i++) b.zeta[i] = lengths[2 + i], b.scale[i] = lengths[2 + b.n_shells + i];
    return b;
}

static CellList cell_list(long channels, long *images) {
    CellList cells;
    *images = number();
    long starts = number();
    for (int i = 0; i < 3; i++) cells.bins[i] = (int)number();
    double *place = array(4 * sizeof(double));
    for (int i = 0; i < 3; i++) cells.origin[i] = place[i];
    cells.inverse_bin = place[3];
    cells.positions = array(*images * 3 * (long)sizeof(double));
    cells.weights = array(*images * channels * (long)sizeof(float));
    cells.bin_start = array(starts * (long)sizeof(int));
    return cells;
}

static int written(const float *out, size_t count) { return fwrite(out, sizeof(float), count, stdout) == count ? 0 : 4; }

static int orbitals(void) {
    int size;
    Basis b = basis(&size);
    long n = number(), atoms = number(), parts = number();
    float *points = array(3 * n * (long)sizeof(float)), *centres = array(3 * atoms * (long)sizeof(float));
    float *potential = parts == 2 ? array(n * (long)sizeof(float)) : NULL;
    size_t count = (size_t)(parts * atoms * size * n);
    void *out = NULL;
    if (posix_memalign(&out, 64, count * sizeof(float))) return 2;
    elfzoo_orbitals_baseline(&b, points, n, centres, atoms, potential, out);
    return written(out, count);
}

static int latent(void) {
    int size;
    Basis b = basis(&size);
    Latent l = {.n_functions = (int)number(), .n_scalars = (int)number(), .n_kinds = (int)number()};
    for (int i = 0; i < l.n_kinds; i++) l.mul[i] = (int)number(), l.dim[i] = (int)number();
    float *constants = array(4 * sizeof(float));
    l.unit = constants[0], l.density = constants[1], l.uniform = constants[2], l.chi = constants[3];
    long images;
    CellList cells = cell_list(0, &images);
    const float **coefficients = malloc((size_t)images * sizeof *coefficients);
    for (long i = 0; i < images; i++) coefficients[i] = array((l.n_functions + 5L) / 6 * 6 * size * (long)sizeof(float));
    long n = number(), wide = number();
    double *points = array(n * 3 * (long)sizeof(double));
    float *out = malloc((size_t)(n * wide) * sizeof(float));
    if (elfzoo_latent_baseline(&b, &l, &cells, coefficients, NULL, 1.f, points, n, out)) return 3;
    return written(out, (size_t)(n * wide));
}

static int spline(void) {
    long order = number(), shape[3], n = number();
    for (int i = 0; i < 3; i++) shape[i] = number();
    double *coefficients = array(shape[0] * shape[1] * shape[2] * (long)sizeof(double));
    double *points = array(3 * n * (long)sizeof(double)), *out = malloc((size_t)n * sizeof(double));
    elfzoo_spline_baseline((int)order, coefficients, shape, points, n, out);
    return fwrite(out, sizeof(double), (size_t)n, stdout) == (size_t)n ? 0 : 4;
}

int main(void) {
    Descriptor d = {.n_channels = 1};
    Fields f = {0};
    Network net = {0};
    int is_fields = (int)number();
    if (is_fields == 2) return orbitals();
    if (is_fields == 3) return latent();
    if (is_fields == 4) return spline();
    if (is_fields) {
        f.n_steps = (int)number(), f.l_max = (int)number(), f.width = (int)number(), f.free_atoms = (int)number();
        f.n_kinds = (int)number();
        for (int i = 0; i < f.n_kinds; i++) f.mul[i] = (int)number(), f.dim[i] = (int)number();
    } else {
        d.n_radial = (int)number(), d.l_max = (int)number(), d.n_channels = (int)number(), d.smooth = (int)number();
    }
    float *lengths = array(4 * sizeof(float));
    d.r_cut = f.r_cut = lengths[0], d.spacing = lengths[1], d.sigma = lengths[2], d.softening = f.softening = lengths[3];
    f.density_scale = lengths[1];
    long images;
    CellList cells = cell_list(d.n_channels, &images);
    const float **tables = malloc((size_t)images * sizeof *tables);
    long size = (f.n_steps + 3L) * (f.l_max + 1) * (f.l_max + 1) * f.width * (long)sizeof(float);
    for (long i = 0; is_fields && i < images; i++) tables[i] = array(size);
    net.n_layers = (int)number();
    for (int i = 0; i <= net.n_layers; i++) net.width[i] = (int)number();
    if (net.n_layers) {
        float *clamp = array(sizeof(float));
        net.clamp = clamp[0];
        net.mean = array(net.width[0] * (long)sizeof(float)), net.scale = array(net.width[0] * (long)sizeof(float));
        for (int i = 0; i < net.n_layers; i++) {
            net.weights[i] = array((net.width[i + 1] + 5) / 6 * 6 * net.width[i] * (long)sizeof(float));
            net.biases[i] = array(net.width[i + 1] * (long)sizeof(float));
        }
    }
    long n = number(), wide = number();
    double *points = array(n * 3 * (long)sizeof(double));
    float *out = malloc((size_t)(n * wide) * sizeof(float));
    const Network *used = net.n_layers ? &net : NULL;
    if (is_fields ? elfzoo_fields_baseline(&f, &cells, tables, lengths[2], used, points, n, out)
                  : elfzoo_run_baseline(&d, &cells, used, points, n, out))
        return 3;
    return written(out, (size_t)(n * wide));
}
