/* Any processor: SSE2 on x86-64, NEON on 64-bit ARM. */
#define VBYTES 16
#define NV 2
#define NAME elfzoo_run_baseline
#define FIELDS_NAME elfzoo_fields_baseline
#define ORBITALS_NAME elfzoo_orbitals_baseline
#define LATENT_NAME elfzoo_latent_baseline
#define SPLINE_NAME elfzoo_spline_baseline
#include "kernel_impl.h"
#include "fields_impl.h"
#include "orbitals_impl.h"
#include "latent_impl.h"
#include "spline_impl.h"
