/* Runs one job of a baseline kernel: reads it from standard input as test_other_processors.py writes it, writes floats. The
   first number says which: 0 for power spectra, 1 for fields of atoms, 2 for
   confined orbitals. */
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

static int orbitals(void) {
    Basis b = {.n_shells = (int)number()};
    int size = 0;
    for (int i = 0; i < b.n_shells; i++) b.l[i] = (int)number(), size += 2 * b.l[i] + 1;
    float *lengths = array((2 + 2 * b.n_shells) * (long)sizeof(float));
    b.r_cut = lengths[0], b.softening = lengths[1];
    for (int i = 0; i < b.n_shells; i++) b.zeta[i] = lengths[2 + i], b.scale[i] = lengths[2 + b.n_shells + i];
    long n = number(), atoms = number(), parts = number();
    float *points = array(3 * n * (long)sizeof(float)), *centres = array(3 * atoms * (long)sizeof(float));
    float *potential = parts == 2 ? array(n * (long)sizeof(float)) : NULL;
    size_t count = (size_t)(parts * atoms * size * n);
    void *out = NULL;
    if (posix_memalign(&out, 64, count * sizeof(float))) return 2;
    elfzoo_orbitals_baseline(&b, points, n, centres, atoms, potential, out);
    return fwrite(out, sizeof(float), count, stdout) == count ? 0 : 4;
}

int main(void) {
    Descriptor d = {.n_channels = 1};
    Fields f = {0};
    CellList cells;
    Network net = {0};
    int is_fields = (int)number();
    if (is_fields == 2) return orbitals();
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
    long images = number(), starts = number();
    for (int i = 0; i < 3; i++) cells.bins[i] = (int)number();
    double *place = array(4 * sizeof(double));
    for (int i = 0; i < 3; i++) cells.origin[i] = place[i];
    cells.inverse_bin = place[3];
    cells.positions = array(images * 3 * (long)sizeof(double));
    cells.weights = array(images * d.n_channels * (long)sizeof(float));
    cells.bin_start = array(starts * (long)sizeof(int));
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
    return fwrite(out, sizeof(float), (size_t)(n * wide), stdout) == (size_t)(n * wide) ? 0 : 4;
}
