#pragma once

// C[panel][row][j] = sum over k of A[row / 6][k][row % 6] * B[panel][k][j] for rowPanels * 6 rows, `panels` panels of 16
// columns. a is [rowPanels][depth][6], b is [panels][depth][16], c is [panels][rowPanels * 6][16]. Compiled for several
// instruction sets, of which the processor's best is taken.
void tsdf_gemm_panels(const float *a, const float *b, float *c, long rowPanels, long depth, long panels);
