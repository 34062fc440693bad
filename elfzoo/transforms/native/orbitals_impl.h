/* Confined orbitals of atoms at the points of a box, with what the integrals or the densities need of them. Included after
   kernel_impl.h, once per instruction set, with ORBITALS_NAME defined. The formulas are those of
   elfzoo/transforms/harris/orbitals.py, which is what the tests compare it with; a vector holds points here. */
#include "kernel.h"

/* F and its derivatives by u = r^2, with the envelope (1 - u / end)^3. */
typedef struct {
    vf f, df, ddf;
} Shape;

INLINE Shape radial_vf(vf u, vf inverse_s, vf zeta, vf scale, vf inverse_end) {
    vf s = reciprocal_vf(inverse_s), half = splat(0.5f) * inverse_s;
    vf e = scale * exp_vf(max_vf(-zeta * s, splat(-80.f)));
    vf de = -zeta * half * e, dde = half * half * (zeta * zeta + zeta * inverse_s) * e;
    vf inside = max_vf(splat(1.f) - u * inverse_end, splat(0.f));
    vf c = inside * inside * inside, dc = splat(-3.f) * inverse_end * inside * inside;
    vf ddc = splat(6.f) * inverse_end * inverse_end * inside;
    return (Shape){e * c, de * c + e * dc, dde * c + splat(2.f) * de * dc + e * ddc};
}

/* Solid harmonics of a degree at (x, y, z), and their gradients: p[m], slope[m][3]. Returns 2 l + 1. */
INLINE int solid_harmonics(int l, vf x, vf y, vf z, vf p[5], vf slope[5][3]) {
    const vf zero = splat(0.f), one = splat(1.f), q = splat(0.288675134594812882f); /* 1 / (2 sqrt 3) */
    if (l == 0) {
        p[0] = one, slope[0][0] = slope[0][1] = slope[0][2] = zero;
        return 1;
    }
    if (l == 1) {
        vf r[3] = {x, y, z};
        for (int m = 0; m < 3; m++) {
            p[m] = r[m];
            for (int i = 0; i < 3; i++) slope[m][i] = i == m ? one : zero;
        }
        return 3;
    }
    p[0] = x * y, slope[0][0] = y, slope[0][1] = x, slope[0][2] = zero;
    p[1] = y * z, slope[1][0] = zero, slope[1][1] = z, slope[1][2] = y;
    p[2] = z * x, slope[2][0] = z, slope[2][1] = zero, slope[2][2] = x;
    p[3] = splat(0.5f) * (x * x - y * y), slope[3][0] = x, slope[3][1] = -y, slope[3][2] = zero;
    p[4] = q * (splat(2.f) * z * z - x * x - y * y);
    slope[4][0] = splat(-2.f) * q * x, slope[4][1] = splat(-2.f) * q * y, slope[4][2] = splat(4.f) * q * z;
    return 5;
}

INLINE long orbitals_of(const Basis *b) {
    long size = 0;
    for (int s = 0; s < b->n_shells; s++) size += 2 * b->l[s] + 1;
    return size;
}

/* All orbitals of an atom for VL points at (x, y, z) from it: their values at row, row + stride, ..., and `part` numbers
   behind each its gradient along x, then y, then z; with a potential V, in place of that (V - laplacian / 2) phi. */
INLINE void orbital_rows(const Basis *b, vf x, vf y, vf z, const float *potential, float *row, size_t stride, size_t part) {
    vf u = x * x + y * y + z * z, inverse_s = rsqrt_vf(u + splat(b->softening * b->softening)), r[3] = {x, y, z};
    for (int s = 0; s < b->n_shells; s++) {
        Shape w = radial_vf(u, inverse_s, splat(b->zeta[s]), splat(b->scale[s]), splat(1.f / (b->r_cut * b->r_cut)));
        vf p[5], slope[5][3];
        int count = solid_harmonics(b->l[s], x, y, z, p, slope);
        vf laplacian = splat(4.f) * u * w.ddf + splat((float)(4 * b->l[s] + 6)) * w.df;
        for (int m = 0; m < count; m++, row += stride) {
            store(row, p[m] * w.f);
            if (potential) {
                store(row + part, p[m] * (load(potential) * w.f - splat(0.5f) * laplacian));
                continue;
            }
            vf stretch = splat(2.f) * w.df * p[m];
            for (int i = 0; i < 3; i++) store(row + (size_t)(i + 1) * part, stretch * r[i] + w.f * slope[m][i]);
        }
    }
}

void ORBITALS_NAME(const Basis *b, const float *points, long n, const float *centres, long atoms, const float *potential,
                   float *out) {
    long size = orbitals_of(b);
    for (long a = 0; a < atoms; a++)
        for (long v = 0; v < n; v += VL) {
            vf x = load(points + v) - splat(centres[3 * a]), y = load(points + n + v) - splat(centres[3 * a + 1]),
               z = load(points + 2 * n + v) - splat(centres[3 * a + 2]);
            orbital_rows(b, x, y, z, potential ? potential + v : NULL, out + (size_t)(a * size * n + v), (size_t)n,
                         (size_t)(atoms * size * n));
        }
}
