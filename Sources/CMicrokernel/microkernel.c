#include "microkernel.h"

// In C for two things that Swift lacks: one function in several instruction sets, chosen at run time, and contraction of
// a product and a sum to a fused multiply-add where the instruction set has one.
#if defined(__x86_64__) && defined(__ELF__)
#define EVERY_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EVERY_PROCESSOR
#endif

#pragma STDC FP_CONTRACT ON

typedef float lanes __attribute__((vector_size(64), aligned(4)));

enum { ROWS = 6, COLUMNS = 16, DEPTH_BLOCK = 256 };

EVERY_PROCESSOR
void tsdf_gemm_panels(const float *a, const float *b, float *c, long rowPanels, long depth, long panels) {
  // Depth in blocks whose B panels stay in the first-level cache while A streams past.
  for (long k0 = 0; k0 < depth; k0 += DEPTH_BLOCK) {
    const long count = depth - k0 < DEPTH_BLOCK ? depth - k0 : DEPTH_BLOCK;
    for (long m = 0; m < rowPanels; ++m) {
      for (long n = 0; n < panels; ++n) {
        const float *left = a + (m * depth + k0) * ROWS;
        const float *right = b + (n * depth + k0) * COLUMNS;
        lanes *to = (lanes *)(c + (n * rowPanels + m) * ROWS * COLUMNS);
        lanes t0 = {0}, t1 = {0}, t2 = {0}, t3 = {0}, t4 = {0}, t5 = {0};
        if (k0 > 0) {
          t0 = to[0], t1 = to[1], t2 = to[2], t3 = to[3], t4 = to[4], t5 = to[5];
        }
        for (long k = 0; k < count; ++k) {
          const lanes v = *(const lanes *)(right + k * COLUMNS);
          const float *u = left + k * ROWS;
          t0 += v * u[0];
          t1 += v * u[1];
          t2 += v * u[2];
          t3 += v * u[3];
          t4 += v * u[4];
          t5 += v * u[5];
        }
        to[0] = t0, to[1] = t1, to[2] = t2, to[3] = t3, to[4] = t4, to[5] = t5;
      }
    }
  }
}
