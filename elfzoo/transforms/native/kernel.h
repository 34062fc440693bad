/* Fused evaluation of power spectrum and network on tiles of points, one build per instruction set. */
#ifndef ELFZOO_KERNEL_H
#define ELFZOO_KERNEL_H

enum { TILE = 64, MAX_RADIAL = 20, MAX_CHANNELS = 8, MAX_L = 4, MAX_LAYERS = 8 };

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

#endif
