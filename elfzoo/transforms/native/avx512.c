#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,fma")
#endif
#define VBYTES 64
#define NV 4
#define NAME elfzoo_run_avx512
#define FIELDS_NAME elfzoo_fields_avx512
#define ORBITALS_NAME elfzoo_orbitals_avx512
#define LATENT_NAME elfzoo_latent_avx512
#define SPLINE_NAME elfzoo_spline_avx512
#include "kernel_impl.h"
#include "fields_impl.h"
#include "orbitals_impl.h"
#include "latent_impl.h"
#include "spline_impl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
