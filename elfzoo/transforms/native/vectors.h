/* Vectors of points: types, and the elementary functions of the kernel. Included by kernel_impl.h, once per instruction
   set with VBYTES (vector width in bytes) defined; where that is 32 or 64, immintrin.h is included before. */
#include <stdint.h>

typedef float vf __attribute__((vector_size(VBYTES)));
typedef int32_t vi __attribute__((vector_size(VBYTES)));
typedef uint32_t vu __attribute__((vector_size(VBYTES)));

enum { VL = VBYTES / 4 };

#define INLINE static inline __attribute__((always_inline))

INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf x) { *(vf *)p = x; }

/* Where the processor has them: minimum, maximum, and first guesses of 1/x and 1/sqrt(x), good to 11 bits at least. */
#if VBYTES == 64
INLINE vf min_vf(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf max_vf(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf guess_reciprocal(vf x) { return (vf)_mm512_rcp14_ps((__m512)x); }
INLINE vf guess_rsqrt(vf x) { return (vf)_mm512_rsqrt14_ps((__m512)x); }
#elif VBYTES == 32
INLINE vf min_vf(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vf max_vf(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vf guess_reciprocal(vf x) { return (vf)_mm256_rcp_ps((__m256)x); }
INLINE vf guess_rsqrt(vf x) { return (vf)_mm256_rsqrt_ps((__m256)x); }
#else
INLINE vf select_vf(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE vf min_vf(vf a, vf b) { return select_vf(a < b, a, b); }
INLINE vf max_vf(vf a, vf b) { return select_vf(a > b, a, b); }
INLINE vf guess_reciprocal(vf x) { return splat(1.f) / x; }
INLINE vf guess_rsqrt(vf x) {
    vf y;
    for (int i = 0; i < VL; i++) y[i] = 1.f / __builtin_sqrtf(x[i]);
    return y;
}
#endif

/* One step of Newton's method doubles the bits of the guess. 0 < x < 1e37. */
INLINE vf reciprocal_vf(vf x) {
    vf y = guess_reciprocal(x);
    return y * (splat(2.f) - x * y);
}

INLINE vf rsqrt_vf(vf x) {
    vf y = guess_rsqrt(x);
    return y * (splat(1.5f) - splat(0.5f) * x * y * y);
}

/* e^x to about 1e-7 relative (Cephes' polynomial after removal of the nearest power of two), for |x| < 87. */
INLINE vf exp_vf(vf x) {
    vf shifted = x * splat(1.44269504f) + splat(12582912.f); /* 1.5 * 2^23: rounds to the nearest integer */
    vf n = shifted - splat(12582912.f);
    vf f = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
    vf p = splat(1.9875691500e-4f);
    p = p * f + splat(1.3981999507e-3f);
    p = p * f + splat(8.3334519073e-3f);
    p = p * f + splat(4.1665795894e-2f);
    p = p * f + splat(1.6666665459e-1f);
    p = p * f + splat(5.0000001201e-1f);
    p = p * (f * f) + (f + splat(1.f));
    return (vf)((vu)p + ((vu)shifted << 23)); /* adds n, the low bits of shifted, to the exponent */
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
