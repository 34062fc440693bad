/* Evaluation at points, one build per instruction set: of power spectrum and network and of the fields of atoms, their
   invariants and a network, fused on tiles; of confined orbitals; of functions superposed from these, and a network; of
   periodic splines. */
#ifndef ELFZOO_KERNEL_H
#define ELFZOO_KERNEL_H

enum { TILE = 64, MAX_RADIAL = 20, MAX_CHANNELS = 8, MAX_L = 4, MAX_LAYERS = 8, MAX_KINDS = 16, BLOCKS = 4, MAX_SHELLS = 16 };

/* The descriptor; lengths in angstrom. Mirrors PowerSpectrumConfig. */
typedef struct {
    int n_radial, l_max, n_channels, smooth;
    float r_cut, spacing, sigma, softening;
} Descriptor;

/* Periodic images sorted by bin; positions in angstrom, one weight per channel. Mirrors CellList. */
typedef struct {
    const double *positions;    /* (images, 3) */
    const float *weights;       /* (images, channels) */
    const int *bin_start;       /* (bins + 1) */
    double origin[3], inverse_bin;
    int bins[3];
} CellList;

/* Standardisation and layers; weights packed in panels of six outputs: [ceil(out/6)][in][6]. */
typedef struct {
    int n_layers;                /* hidden layers plus the last one, whose width is 1 */
    int width[MAX_LAYERS + 1];   /* features, hidden widths, 1 */
    const float *mean, *scale;   /* x -> clamp((x - mean) * scale, +-clamp) */
    float clamp;
    const float *weights[MAX_LAYERS], *biases[MAX_LAYERS];
} Network;

/* points (n, 3) in angstrom. Without a network: out is (n, features); with one: out is (n,) logits.
   Returns 0, or 1 when memory ran out. */
typedef int Kernel(const Descriptor *, const CellList *, const Network *, const double *points, long n, float *out);

Kernel elfzoo_run_baseline, elfzoo_run_avx2, elfzoo_run_avx512;

/* What an atom adds at a point, and what is made of the sum. Lengths are over the atom's stretch. Column c of the fields
   gets sum_klm B_k(r) Y_lm table[k][lm][c], B_k the cubic B-splines of n_steps equal steps on [0, r_cut]. Columns are
   kinds of mul[i] features with dim[i] components, (component, copy) in C order, the scalars first; behind them, where
   free_atoms is set, the densities of s, p, d and f atoms, and the three components of the whole one's gradient. */
typedef struct {
    int n_steps, l_max, width;  /* width: columns, filled up to a multiple of 16 */
    float r_cut, softening;
    int n_kinds, mul[MAX_KINDS], dim[MAX_KINDS];
    int free_atoms;
    float density_scale;        /* features are arsinh(density / density_scale) */
} Fields;

/* points (n, 3) in angstrom; of cells, weights are 1/stretch of each image; tables: of each image within reach of any
   point, [n_steps + 3][(l_max + 1)^2][width], on 64 bytes. Without a network: out is (n, features); with one: out is (n,)
   logits. Returns 0, or 1 when memory ran out. */
typedef int FieldsKernel(const Fields *, const CellList *, const float *const *tables, float reach, const Network *,
                         const double *points, long n, float *out);

FieldsKernel elfzoo_fields_baseline, elfzoo_fields_avx2, elfzoo_fields_avx512;

/* Orbitals of an atom; lengths in bohr. Mirrors BasisConfig: scale is the norm of each shell. */
typedef struct {
    int n_shells, l[MAX_SHELLS];
    float zeta[MAX_SHELLS], scale[MAX_SHELLS], r_cut, softening;
} Basis;

/* points [3][n] and potential [n] (hartree) on 64 bytes, n a multiple of 16; centres (atoms, 3). With a potential V, out is
   [2][atoms * orbitals][n], phi and (V - laplacian / 2) phi; without one [4][atoms * orbitals][n], phi and its gradient. */
typedef void OrbitalsKernel(const Basis *, const float *points, long n, const float *centres, long atoms,
                            const float *potential, float *out);

OrbitalsKernel elfzoo_orbitals_baseline, elfzoo_orbitals_avx2, elfzoo_orbitals_avx512;

/* Functions superposed from the orbitals of atoms, and the constants of their ELF. They are kinds of mul[i] functions with
   dim[i] components, (component, copy) in C order, the n_scalars even scalars first. */
typedef struct {
    int n_functions, n_scalars, n_kinds, mul[MAX_KINDS], dim[MAX_KINDS];
    float unit;                   /* bohr in angstrom */
    float density, uniform, chi;  /* added to n, C_F, added to chi */
} Latent;

/* points (n, 3) in angstrom; coefficients: of each image, panels of six functions, [ceil(functions/6)][orbitals][6]; of
   cells, weights are not read. Without a network: out is (n, features); with one: out is (n,) slope times the logit of the
   functions' ELF plus the network. Returns 0, or 1 when memory ran out. */
typedef int LatentKernel(const Basis *, const Latent *, const CellList *, const float *const *coefficients, const Network *,
                         float slope, const double *points, long n, float *out);

LatentKernel elfzoo_latent_baseline, elfzoo_latent_avx2, elfzoo_latent_avx512;

/* A B-spline of order 2 to 5. coefficients [shape[0]][shape[1]][shape[2]]: of the cell, continued periodically by
   floor(order / 2) in front of each axis and by order + 8 behind it; points (n, 3) in steps of the grid, from 0 to the
   cell's number of steps on each axis, both included. */
typedef void SplineKernel(int order, const double *coefficients, const long *shape, const double *points, long n, double *out);

SplineKernel elfzoo_spline_baseline, elfzoo_spline_avx2, elfzoo_spline_avx512;

#endif
