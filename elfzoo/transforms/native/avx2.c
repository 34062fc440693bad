#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define VBYTES 32
#define NV 2
#define NAME elfzoo_run_avx2
#define FIELDS_NAME elfzoo_fields_avx2
#define ORBITALS_NAME elfzoo_orbitals_avx2
#define LATENT_NAME elfzoo_latent_avx2
#define SPLINE_NAME elfzoo_spline_avx2
#include "kernel_impl.h"
#include "fields_impl.h"
#include "orbitals_impl.h"
#include "latent_impl.h"
#include "spline_impl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
