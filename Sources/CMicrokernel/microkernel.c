#include "microkernel.h"

// In C for two things that Swift lacks: one function in several instruction sets, chosen at run time, and contraction of
// a product and a sum to a fused multiply-add where the instruction set has one.
#pragma STDC FP_CONTRACT ON

typedef float lanes __attribute__((vector_size(64), aligned(4)));

enum { ROWS = 6, COLUMNS = 16, DEPTH_BLOCK = 256 };

#define PARAMETERS const float *a, const float *b, float *c, long rowPanels, long depth, long panels

// `tile` panels of B, 1 or 2, share a register tile.
static inline __attribute__((always_inline)) void multiply(PARAMETERS, const int tile) {
  // Depth in blocks whose B panels stay in the second-level cache while A streams past.
  for (long k0 = 0; k0 < depth; k0 += DEPTH_BLOCK) {
    const long count = depth - k0 < DEPTH_BLOCK ? depth - k0 : DEPTH_BLOCK;
    for (long m = 0; m < rowPanels; ++m) {
      for (long n = 0; n < panels; n += tile) {
        // A second panel that is not there is the first, and not stored.
        const int last = n + tile <= panels ? tile - 1 : 0;
        const float *left = a + (m * depth + k0) * ROWS;
        const float *right[] = {b + (n * depth + k0) * COLUMNS, b + ((n + last) * depth + k0) * COLUMNS};
        lanes *to[] = {(lanes *)(c + (n * rowPanels + m) * ROWS * COLUMNS),
                       (lanes *)(c + ((n + last) * rowPanels + m) * ROWS * COLUMNS)};
        lanes sums[2][ROWS] = {0};
        if (k0 > 0) {
          for (int p = 0; p < tile; ++p) {
            for (int r = 0; r < ROWS; ++r)
              sums[p][r] = to[p][r];
          }
        }
        for (long k = 0; k < count; ++k) {
#pragma clang loop unroll(full)
          for (int p = 0; p < tile; ++p) {
            const lanes v = *(const lanes *)(right[p] + k * COLUMNS);
#pragma clang loop unroll(full)
            for (int r = 0; r < ROWS; ++r)
              sums[p][r] += v * left[k * ROWS + r];
          }
        }
        for (int p = 0; p <= last; ++p) {
          for (int r = 0; r < ROWS; ++r)
            to[p][r] = sums[p][r];
        }
      }
    }
  }
}

#if defined(__x86_64__)
// 32 registers of 16 floats hold a tile of two panels, and its twelve sums keep the multipliers busy.
__attribute__((target("avx512f,fma"))) static void multiply_avx512(PARAMETERS) {
  multiply(a, b, c, rowPanels, depth, panels, 2);
}

__attribute__((target("avx2,fma"))) static void multiply_avx2(PARAMETERS) { multiply(a, b, c, rowPanels, depth, panels, 1); }
#endif

void tsdf_gemm_panels(PARAMETERS) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    return multiply_avx512(a, b, c, rowPanels, depth, panels);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return multiply_avx2(a, b, c, rowPanels, depth, panels);
  }
#endif
  multiply(a, b, c, rowPanels, depth, panels, 1);
}
