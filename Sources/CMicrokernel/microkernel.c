#include "microkernel.h"

// In C for two things that Swift lacks: one function in several instruction sets, chosen at run time, and contraction of
// a product and a sum to a fused multiply-add where the instruction set has one.
#pragma STDC FP_CONTRACT ON

typedef float lanes __attribute__((vector_size(64), aligned(4)));

enum { ROWS = 6, COLUMNS = 16, DEPTH_BLOCK = 256 };

// `tile` panels of B, 1 or 2, share a register tile.
static inline __attribute__((always_inline)) void multiply(
    const float *a, const float *b, float *c, long rowPanels, long depth, long panels, const int tile) {
  // Depth in blocks whose B panels stay in the second-level cache while A streams past.
  for (long k0 = 0; k0 < depth; k0 += DEPTH_BLOCK) {
    const long count = depth - k0 < DEPTH_BLOCK ? depth - k0 : DEPTH_BLOCK;
    for (long m = 0; m < rowPanels; ++m) {
      for (long n = 0; n < panels; n += tile) {
        // A second panel that is not there is the first, and not stored.
        const int isPair = tile == 2 && n + 1 < panels;
        const float *left = a + (m * depth + k0) * ROWS;
        const float *right = b + (n * depth + k0) * COLUMNS;
        const float *second = right + isPair * depth * COLUMNS;
        lanes *to = (lanes *)(c + (n * rowPanels + m) * ROWS * COLUMNS);
        lanes *beside = to + isPair * rowPanels * ROWS;
        lanes t0 = {0}, t1 = {0}, t2 = {0}, t3 = {0}, t4 = {0}, t5 = {0};
        lanes s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0};
        if (k0 > 0) {
          t0 = to[0], t1 = to[1], t2 = to[2], t3 = to[3], t4 = to[4], t5 = to[5];
          s0 = beside[0], s1 = beside[1], s2 = beside[2], s3 = beside[3], s4 = beside[4], s5 = beside[5];
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
          if (tile == 2) {
            const lanes w = *(const lanes *)(second + k * COLUMNS);
            s0 += w * u[0];
            s1 += w * u[1];
            s2 += w * u[2];
            s3 += w * u[3];
            s4 += w * u[4];
            s5 += w * u[5];
          }
        }
        to[0] = t0, to[1] = t1, to[2] = t2, to[3] = t3, to[4] = t4, to[5] = t5;
        if (isPair) {
          beside[0] = s0, beside[1] = s1, beside[2] = s2, beside[3] = s3, beside[4] = s4, beside[5] = s5;
        }
      }
    }
  }
}

#define PARAMETERS const float *a, const float *b, float *c, long rowPanels, long depth, long panels

#if defined(__x86_64__)
// 32 registers of 16 floats hold a tile of two panels, and its twelve sums keep the multipliers busy.
__attribute__((target("avx512f,fma"))) static void multiply_avx512(PARAMETERS) {
  multiply(a, b, c, rowPanels, depth, panels, 2);
}

__attribute__((target("avx2,fma"))) static void multiply_avx2(PARAMETERS) {
  multiply(a, b, c, rowPanels, depth, panels, 1);
}
#endif

void tsdf_gemm_panels(PARAMETERS) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return multiply_avx512(a, b, c, rowPanels, depth, panels);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return multiply_avx2(a, b, c, rowPanels, depth, panels);
  }
#endif
  multiply(a, b, c, rowPanels, depth, panels, 1);
}
