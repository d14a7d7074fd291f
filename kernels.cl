// Every OpenCL kernel of TSDF: OpenCL C 1.2, float32, no vendor, no assumed work-group size, and no extension that the host
// has not found (SUB_GROUP).
//
// Conventions
// - Tensors are contiguous NCHW float32 unless a comment says otherwise; counts and offsets are in elements.
// - Every kernel guards its ids, so the host may round global sizes up to any work-group size.
// - Arguments come in one order: inputs, outputs, local memory, sizes and flags, scalars; an epilogue's come last. Outputs are
//   overwritten unless said otherwise.
// - No float atomics: gradients gather, so that a run repeats bit for bit.
// - A section starts at a line `// == section: NAME ==`. Each becomes a program, with `prelude` before it, so that only what
//   is needed is built; on a processor the commonest are one (KernelProgram.swift).
// - A section NAME_kernel is the text of several kernels: the host repeats it after the section NAME, with the kernel's name,
//   KERNEL, and what else differs defined (KernelVariant.swift).
//
// Sections
//   prelude            what all others share
//   elementwise        functions of one tensor
//   binary             functions of two tensors, with broadcasting
//   movement           strided copies, halves, spreading, gathering
//   reduce             sums and extrema along an axis
//   norm               normalization over groups of pixels, first and second derivatives
//   pack               operands of matrix products into panels
//   gemm               matrix products in registers: processors
//   tiled              matrix products and convolutions in local memory: GPUs
//   lanes              (shared) rows of an image as vectors
//   conv               col2im and grouped convolutions
//   columns            im2col: processors
//   direct             convolutions of few channels, without im2col: processors
//   tiles              (shared) the transforms of Winograd tiles
//   winograd           3x3 convolutions, phases of dilated ones
//   winograd_strided   4x4 convolutions of stride 2 and their input gradient
//   winograd_gradient  weight gradients of both: processors
//   pool               max, median and average pooling
//   blocks             means over blocks, and their gradient
//   resample           resizing
//   random             random numbers
//   optimise           steps of optimizers
//   peak               what `tsdf bench` measures a device by
//   loops              whether a device runs long loops to their ends
//
// Glossary
//   element  a number of a tensor
//   plane    the height x width elements of one channel of one image
//   run      RUN neighbouring elements that one work-item takes
//   lane     an element of a vector
//   panel    MR rows of a packed left operand, or NR columns of a packed right one, in the order of the depth
//   depth    what a matrix product sums over; `k` counts it, `m` the rows and `n` the columns of the result
//   tile     what is worked on at once: of a matrix, the outputs of a work-item (`gemm`) or of a work-group (`tiled`); of an
//            image, the outputs of one Winograd transform
//   tap      a place in a convolution's kernel
//   phase    the pixels whose places leave the same remainders by a stride or a dilation
//   chunk    as much of a long axis as is worked on before the next
//   strip    some rows of padded planes, worked on while they are in a cache
//   quad     four neighbouring lanes that are neighbouring tiles of one row

// == section: prelude ==

// What the host states, once for both sides, comes before this section (KernelPrelude.swift):
//   RUN             neighbouring elements that one work-item of a memory-bound kernel takes
//   LANES           tiles that one work-item of a Winograd transform takes: 16, or 1
//   VECTOR_LANES    floats of a register, 8 or 16
//   PREFETCH        1: cache lines are asked for before their use
//   MR, NR          rows of a packed A panel, columns of a packed B panel: the GEMM's register tile
//   TILE_PANELS     panels of B in a register tile
//   SPACING         floats that planes lie further apart than they need to
//   VECTORS_OF_n    vectors of pixels in a tile of n rows of a direct convolution's outputs
//   DIRECT_COLUMNS  columns of the kernel in a tile of its weight gradient
//   WITH_BIAS, WITH_SLOPES, ACCUMULATED   flags of EPILOGUE_ARGUMENTS; ACCUMULATED, of products: C is added to
//   SUB_GROUP       in the `tiled` section, where the device lets kernels choose how many work-items share a thread's registers:
//                   the fewest, for the most registers; 0 elsewhere
//   FEW_ITEMS       in the `few` section: the work-items of a group
//   TILE_ITEMS, TILE_WIDTH, TILE_RM, TILE_RN, TILE_K   in the `tiled` section: the tile of a work-group
//   Convolution     a convolution's batch, channels, height, width, outChannels, outHeight, outWidth, kernelHeight,
//                   kernelWidth, stride, padding, dilation, groups
//   Product         a matrix product's rows, columns, depth, and where the elements of A, B and C lie: see gemm_packed
//   Tiling          images of `channels`, height and width in `rows` rows of `pitch` Winograd tiles, of which the `panels`
//                   panels from firstPanel on are worked on

// What ends a convolution or product: a bias for each channel (row), then a leaky ReLU of one slope (1 leaves values as
// they are, 0 is ReLU), or of one for each channel (PReLU). The last arguments of every kernel that has it, and the flags
// that say what is there.
#define EPILOGUE_ARGUMENTS global const float *bias, global const float *slopes, const uint flags, const float slope
#define BIAS_OF(CHANNEL) (flags & WITH_BIAS ? bias[CHANNEL] : 0.0f)
#define SLOPE_OF(CHANNEL) (flags & WITH_SLOPES ? slopes[CHANNEL] : slope)
// NaN stays.
#define RECTIFIED(V, SLOPE) ((V) < 0.0f ? (SLOPE) * (V) : (V))

// Where the next of many planes of N floats begins that one work-item writes to in turn: a cache line further than it needs
// to, or planes of a power of two would share the sets of the cache.
#define SPACED(N) ((N) + SPACING)

// Inlined for certain: what keeps arrays in registers must not be called with their address.
#define INLINED static inline __attribute__((always_inline))

// vstore16 to global memory. PoCL's is three stores and two shuffles; this is one store, on a processor that has it.
#if LANES == 16
typedef float16 __attribute__((aligned(4))) float16_of_floats;
#define STORE16(V, P) (*(global float16_of_floats *)(P) = (V))
#else
#define STORE16(V, P) vstore16(V, 0, P)
#endif

// Transposes v, `count` (a power of two up to 16) rows of 16, in registers: afterwards v holds the first column, then the
// second, and so on, without a gap.
INLINED void transpose(float16 *v, const uint count) {
#pragma unroll
  for (uint done = 1; done < count; done *= 2) {
    float16 woven[16];
#pragma unroll
    for (uint i = 0; i < count / 2; ++i) {
      woven[2 * i].even = v[i].lo, woven[2 * i].odd = v[i + count / 2].lo;
      woven[2 * i + 1].even = v[i].hi, woven[2 * i + 1].odd = v[i + count / 2].hi;
    }
#pragma unroll
    for (uint i = 0; i < count; ++i)
      v[i] = woven[i];
  }
}

// A cache line that will soon be read, or written: a hint, for processors, whose own guesses end with a page and do not follow
// a work-item that writes to many planes in turn. A GPU hides such waits behind other work-items. SPIR-V, through which some
// compilers go, has no such instruction, and its translator aborts at one.
#if PREFETCH && defined(__has_builtin) && !defined(__SPIR) && !defined(__SPIR__) && !defined(__SPIR64__)
#if __has_builtin(__builtin_prefetch)
#define WILL_READ(P) __builtin_prefetch((const void *)(size_t)(P), 0)
#define WILL_WRITE(P) __builtin_prefetch((const void *)(size_t)(P), 1)
#endif
#endif
#ifndef WILL_READ
#define WILL_READ(P)
#define WILL_WRITE(P)
#endif

// Where a row of a tensor of `shape` begins, which its three outer axes number.
INLINED uint row_place(const uint row, const uint4 shape, const uint4 strides) {
  return row / shape.s2 / shape.s1 * strides.s0 + row / shape.s2 % shape.s1 * strides.s1 + row % shape.s2 * strides.s2;
}

// == section: elementwise ==

// f(v; a, b) of each function of one number.
static float affine_of(const float v, const float a, const float b) { return fma(a, v, b); }
static float relu_of(const float v, const float a, const float b) { return v < 0.0f ? 0.0f : v; }
static float leakyReLU_of(const float v, const float a, const float b) { return v < 0.0f ? a * v : v; }
static float tanh_of(const float v, const float a, const float b) { return tanh(v); }
static float sigmoid_of(const float v, const float a, const float b) { return 1.0f / (1.0f + exp(-v)); }
static float softplus_of(const float v, const float a, const float b) { return fmax(v, 0.0f) + log1p(exp(-fabs(v))); }
static float exp_of(const float v, const float a, const float b) { return exp(v); }
static float log_of(const float v, const float a, const float b) { return log(v); }
static float sqrt_of(const float v, const float a, const float b) { return sqrt(v); }
static float abs_of(const float v, const float a, const float b) { return fabs(v); }
static float sign_of(const float v, const float a, const float b) { return v > 0.0f ? 1.0f : (v < 0.0f ? -1.0f : v); }
static float round_of(const float v, const float a, const float b) { return rint(v); }
static float clamp_of(const float v, const float a, const float b) { return v < a ? a : (v > b ? b : v); }
static float inside_of(const float v, const float a, const float b) { return v >= a && v <= b ? 1.0f : 0.0f; }
static float power_of(const float v, const float a, const float b) { return pow(v, a); }
static float reciprocal_of(const float v, const float a, const float b) { return 1.0f / v; }

// == section: elementwise_kernel ==

// unary_NAME: y[i] = f(x[i]; a, b), f being VALUE. One work-item an element.
kernel void KERNEL(global const float *restrict x, global float *restrict y, const uint count, const float a, const float b) {
  const uint i = get_global_id(0);
  if (i < count)
    y[i] = VALUE(x[i], a, b);
}

// == section: binary ==

// f(u, v; p) of each binary operation.
static float add_value(const float u, const float v, const float p) { return u + v; }
static float subtract_value(const float u, const float v, const float p) { return u - v; }
static float multiply_value(const float u, const float v, const float p) { return u * v; }
static float divide_value(const float u, const float v, const float p) { return u / v; }
static float maximum_value(const float u, const float v, const float p) { return u > v ? u : v; }
static float minimum_value(const float u, const float v, const float p) { return u < v ? u : v; }
static float greater_value(const float u, const float v, const float p) { return u > v ? 1.0f : 0.0f; }
static float equal_value(const float u, const float v, const float p) { return u == v ? 1.0f : 0.0f; }
static float reluGradient_value(const float u, const float v, const float p) { return u > 0.0f ? v : 0.0f; }
static float leakyReLUGradient_value(const float u, const float v, const float p) { return u > 0.0f ? v : p * v; }
static float tanhGradient_value(const float u, const float v, const float p) { return v * (1.0f - u * u); }
static float sigmoidGradient_value(const float u, const float v, const float p) { return v * u * (1.0f - u); }
static float prelu_value(const float u, const float v, const float p) { return u > 0.0f ? u : u * v; }
static float preluSlope_value(const float u, const float v, const float p) { return u > 0.0f ? 1.0f : v; }

// == section: binary_kernel ==

// binary_NAME: y = f(a, b; p) over a broadcast of up to four axes, f being VALUE. shape = output extents, outermost first;
// strides in elements, 0 along a broadcast axis. A work-item makes RUN neighbours of a row; both operands step by 1 or 0 there
// nearly always, and then the compiler makes vectors of the run. Global size: (ceil(shape.s3 / RUN), shape.s0 * shape.s1 *
// shape.s2).
kernel void KERNEL(global const float *restrict a, global const float *restrict b, global float *restrict y, const uint4 shape,
                   const uint4 aStrides, const uint4 bStrides, const float p) {
  const uint column = get_global_id(0) * RUN;
  const uint row = get_global_id(1);
  if (column >= shape.s3 || row >= shape.s0 * shape.s1 * shape.s2)
    return;
  const uint s = aStrides.s3, t = bStrides.s3;
  global const float *fa = a + row_place(row, shape, aStrides) + column * s;
  global const float *fb = b + row_place(row, shape, bStrides) + column * t;
  global float *to = y + row * shape.s3 + column;
  const uint isWhole = column + RUN <= shape.s3;
  if (isWhole && s == 1 && t == 1) {
    for (uint j = 0; j < RUN; ++j)
      to[j] = VALUE(fa[j], fb[j], p);
  } else if (isWhole && s == 1 && t == 0) {
    const float only = fb[0];
    for (uint j = 0; j < RUN; ++j)
      to[j] = VALUE(fa[j], only, p);
  } else if (isWhole && s == 0 && t == 1) {
    const float only = fa[0];
    for (uint j = 0; j < RUN; ++j)
      to[j] = VALUE(only, fb[j], p);
  } else {
    for (uint j = 0; j < RUN && column + j < shape.s3; ++j)
      to[j] = VALUE(fa[j * s], fb[j * t], p);
  }
}

// == section: movement ==

// y[yOffset + i . yStrides] = x[xOffset + i . xStrides] for every index i of `shape` (outermost first):
// permute, slice, broadcast (stride 0) and the placing of a block in a larger tensor are all this. A work-item copies
// RUN neighbours of a row. Global size: (ceil(shape.s3 / RUN), shape.s0 * shape.s1 * shape.s2). Elements of y outside
// the block are left alone.
kernel void strided_copy(global const float *restrict x, global float *restrict y, const uint4 shape, const uint4 xStrides,
                         const uint4 yStrides, const uint xOffset, const uint yOffset) {
  const uint column = get_global_id(0) * RUN;
  const uint row = get_global_id(1);
  if (column >= shape.s3 || row >= shape.s0 * shape.s1 * shape.s2)
    return;
  const uint s = xStrides.s3, t = yStrides.s3;
  global const float *from = x + xOffset + row_place(row, shape, xStrides) + column * s;
  global float *to = y + yOffset + row_place(row, shape, yStrides) + column * t;
  if (column + RUN <= shape.s3 && t == 1 && s <= 1) {
    const float only = from[0];
    if (s == 1)
      for (uint j = 0; j < RUN; ++j)
        to[j] = from[j];
    else
      for (uint j = 0; j < RUN; ++j)
        to[j] = only;
  } else {
    for (uint j = 0; j < RUN && column + j < shape.s3; ++j)
      to[j * t] = from[j * s];
  }
}

// y = x in IEEE 754 halves, rounded to nearest even. Halves are for storage alone, so no extension is needed.
// Global size: ceil(count / 8).
kernel void pack_halves(global const float *restrict x, global half *restrict y, const uint count) {
  const uint i = get_global_id(0);
  if (i * 8 + 8 <= count)
    vstore_half8_rte(vload8(i, x), i, y);
  else
    for (uint j = i * 8; j < count; ++j)
      vstore_half_rte(x[j], j, y);
}

// y = x, from halves. Global size: ceil(count / 8).
kernel void unpack_halves(global const half *restrict x, global float *restrict y, const uint count) {
  const uint i = get_global_id(0);
  if (i * 8 + 8 <= count)
    vstore8(vload_half8(i, x), i, y);
  else
    for (uint j = i * 8; j < count; ++j)
      y[j] = vload_half(j, x);
}

// y = x + cases, each plane's side x side cases (side odd) spread over its height x width by repeating the middle row and
// column: what depends only on how far a border is. A work-item takes RUN neighbours of a row.
// Global size: (ceil(width / RUN), height, planes).
kernel void add_spread(global const float *restrict x, global const float *restrict cases, global float *restrict y,
                       const uint planes, const uint height, const uint width, const uint side) {
  const uint x0 = get_global_id(0) * RUN, row = get_global_id(1), plane = get_global_id(2);
  if (x0 >= width || row >= height || plane >= planes)
    return;
  const uint middle = side / 2;
  const uint caseRow = row < middle ? row : (row + middle >= height ? row + side - height : middle);
  global const float *own = cases + (plane * side + caseRow) * side;
  global const float *from = x + (plane * height + row) * width + x0;
  global float *to = y + (plane * height + row) * width + x0;
  if (x0 >= middle && x0 + RUN + middle <= width) {
    const float only = own[middle];
    for (uint j = 0; j < RUN; ++j)
      to[j] = from[j] + only;
  } else {
    for (uint j = 0; j < RUN && x0 + j < width; ++j) {
      const uint c = x0 + j;
      to[j] = from[j] + own[c < middle ? c : (c + middle >= width ? c + side - width : middle)];
    }
  }
}

// y[r, :] = x[indices[r], :] for rows of `width`. Global size: (width, rows).
kernel void gather_rows(global const float *restrict x, global const uint *restrict indices, global float *restrict y,
                        const uint rows, const uint width) {
  const uint column = get_global_id(0);
  const uint row = get_global_id(1);
  if (column < width && row < rows)
    y[row * width + column] = x[indices[row] * width + column];
}

// The adjoint of gather_rows: dx[s, :] = sum of dy[r, :] over r with indices[r] = s. `order` lists the r
// grouped by source row, starts[s] ..< starts[s + 1] being those of s: a gather, so no atomics.
// Global size: (width, sourceRows).
kernel void gather_rows_gradient(global const float *restrict dy, global const uint *restrict order,
                                 global const uint *restrict starts, global float *restrict dx, const uint sourceRows,
                                 const uint width) {
  const uint column = get_global_id(0);
  const uint row = get_global_id(1);
  if (column >= width || row >= sourceRows)
    return;
  float sum = 0.0f;
  for (uint r = starts[row]; r < starts[row + 1]; ++r)
    sum += dy[order[r] * width + column];
  dx[row * width + column] = sum;
}

// == section: reduce ==

static float combined(const int isMax, const float u, const float v) { return isMax ? fmax(u, v) : u + v; }
static float4 combined4(const int isMax, const float4 u, const float4 v) { return isMax ? fmax(u, v) : u + v; }
static float8 combined8(const int isMax, const float8 u, const float8 v) { return isMax ? fmax(u, v) : u + v; }

// y[row, chunk] = the sum, or the maximum, of x[row, chunk * chunkLength ..< min(length, (chunk + 1) * chunkLength)].
// One work-group a (chunk, row): group id 0 = chunk, group id 1 = row. Work-items stride over the chunk in
// steps of eight elements, then fold through `scratch` (one float a work-item) by a halving tree.
// The local size must be a power of two; 1 on a CPU. Kept free of early returns: all work-items pass the barriers.
static void reduce_rows(const int isMax, global const float *restrict x, global float *restrict y,
                        local float *restrict scratch, const uint length, const uint chunkLength) {
  const uint lid = get_local_id(0);
  const uint size = get_local_size(0);
  const uint chunk = get_group_id(0);
  const uint row = get_group_id(1);
  const uint begin = chunk * chunkLength;
  const uint count = min(chunkLength, length - begin);
  global const float *from = x + (ulong)row * length + begin;
  float8 sum8 = isMax ? -INFINITY : 0.0f;
  const uint vectors = count / 8;
  for (uint i = lid; i < vectors; i += size)
    sum8 = combined8(isMax, sum8, vload8(i, from));
  const float4 sum4 = combined4(isMax, sum8.lo, sum8.hi);
  float sum = combined(isMax, combined(isMax, sum4.s0, sum4.s1), combined(isMax, sum4.s2, sum4.s3));
  for (uint i = vectors * 8 + lid; i < count; i += size)
    sum = combined(isMax, sum, from[i]);
  scratch[lid] = sum;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (uint half_ = size / 2; half_ > 0; half_ /= 2) {
    if (lid < half_)
      scratch[lid] = combined(isMax, scratch[lid], scratch[lid + half_]);
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  if (lid == 0)
    y[row * get_num_groups(0) + chunk] = scratch[0];
}

// reduce_rows: sums.
kernel void sum_rows(global const float *restrict x, global float *restrict y, local float *restrict scratch, const uint rows,
                     const uint length, const uint chunkLength) {
  reduce_rows(0, x, y, scratch, length, chunkLength);
}

// reduce_rows: maxima.
kernel void max_rows(global const float *restrict x, global float *restrict y, local float *restrict scratch, const uint rows,
                     const uint length, const uint chunkLength) {
  reduce_rows(1, x, y, scratch, length, chunkLength);
}

// y[o, i] = the sum, or the maximum, over r of x[o, r, i]. One work-item an (i, o): global size (inner, outer).
static void reduce_middle(const int isMax, global const float *restrict x, global float *restrict y, const uint outer,
                          const uint length, const uint inner) {
  const uint i = get_global_id(0);
  const uint o = get_global_id(1);
  if (i >= inner || o >= outer)
    return;
  global const float *from = x + (ulong)o * length * inner + i;
  float sum = isMax ? -INFINITY : 0.0f;
  for (uint r = 0; r < length; ++r)
    sum = combined(isMax, sum, from[r * inner]);
  y[o * inner + i] = sum;
}

// reduce_middle: sums.
kernel void sum_middle(global const float *restrict x, global float *restrict y, const uint outer, const uint length,
                       const uint inner) {
  reduce_middle(0, x, y, outer, length, inner);
}

// reduce_middle: maxima.
kernel void max_middle(global const float *restrict x, global float *restrict y, const uint outer, const uint length,
                       const uint inner) {
  reduce_middle(1, x, y, outer, length, inner);
}

// == section: norm ==

// Folds value.s0 and value.s1 over a work-group through `scratch` (a float2 a work-item); every work-item
// gets the totals. The local size is a power of two. Kept free of early returns: all work-items pass the barriers.
static float2 group_sum2(local float2 *scratch, const float2 value, const uint lid, const uint size) {
  scratch[lid] = value;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (uint half_ = size / 2; half_ > 0; half_ /= 2) {
    if (lid < half_)
      scratch[lid] += scratch[lid + half_];
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  const float2 total = scratch[0];
  barrier(CLK_LOCAL_MEM_FENCE);
  return total;
}

// What a work-item takes at a time: a vector, of as many bytes in flight as there are groups too few to fill a GPU; there planes
// whose vectors would not be aligned are taken by elements.
#if LANES == 16
typedef float16 wide;
#define WIDTH 16
#define VECTORS(AREA, STRIDE) ((AREA) / 16)
#define WIDE_LOAD(I, P) vload16(I, P)
#define WIDE_STORE(V, I, P) STORE16(V, (P) + 16 * (I))
static float folded(const wide v) {
  const float8 w = v.lo + v.hi;
  return ((w.s0 + w.s4) + (w.s1 + w.s5)) + ((w.s2 + w.s6) + (w.s3 + w.s7));
}
#else
typedef float4 wide;
#define WIDTH 4
#define VECTORS(AREA, STRIDE) (((AREA) | (STRIDE)) % 4 == 0 ? (AREA) / 4 : 0)
#define WIDE_LOAD(I, P) ((global const float4 *)(P))[I]
#define WIDE_STORE(V, I, P) ((global float4 *)(P))[I] = (V)
static float folded(const wide v) { return (v.s0 + v.s2) + (v.s1 + v.s3); }
#endif

// A gradient D through the leaky ReLU of a value Z.
#define PASSED(D, Z) select(slope *(D), (D), (Z) > 0.0f)

// Normalisation with its own statistics, forward: y = (x - mean) * invstd * gamma[c] + beta[c], then
// leaky ReLU of `slope` (1 = none, 0 = ReLU). A group is the set of elements that share statistics:
// `planes` planes of `area` elements, `planeStride` apart. Instance norm: groups = N * C, planes = 1;
// batch norm: groups = C, planes = N, planeStride = C * area. Channel c = group % channels. The variance is
// the biased one, by a second pass over the data (cancellation-safe), and invstd = 1 / sqrt(variance + epsilon); under
// `unbiased`, invstd = 1 / (the unbiased deviation + epsilon). statistics[group] = (mean, invstd). Last, `residual`, of x's
// layout, is added if hasResidual.
// One work-group a group; local size a power of two; scratch: one float2 a work-item.
kernel void normalize_forward(global const float *restrict x, global const float *restrict gamma,
                              global const float *restrict beta, global const float *restrict residual,
                              global float *restrict y, global float2 *restrict statistics, local float2 *restrict scratch,
                              const uint channels, const uint planes, const uint area, const uint planeStride,
                              const float epsilon, const uint unbiased, const float slope, const uint hasResidual) {
  const uint lid = get_local_id(0), size = get_local_size(0), group = get_group_id(0);
  const uint start = group * area, vectors = VECTORS(area, planeStride);
  const float count = (float)(planes * area);

  // Two sums at a time: one would wait for its own last addition.
  wide even = 0.0f, odd = 0.0f;
  float sum = 0.0f;
  for (uint p = 0; p < planes; ++p) {
    global const float *plane = x + start + p * planeStride;
    uint i = lid;
    for (; i + size < vectors; i += 2 * size) {
      even += WIDE_LOAD(i, plane);
      odd += WIDE_LOAD(i + size, plane);
    }
    if (i < vectors)
      even += WIDE_LOAD(i, plane);
    for (i = vectors * WIDTH + lid; i < area; i += size)
      sum += plane[i];
  }
  const float mean = group_sum2(scratch, (float2)(sum + folded(even + odd), 0.0f), lid, size).s0 / count;

  even = 0.0f, odd = 0.0f;
  sum = 0.0f;
  for (uint p = 0; p < planes; ++p) {
    global const float *plane = x + start + p * planeStride;
    uint i = lid;
    for (; i + size < vectors; i += 2 * size) {
      const wide d = WIDE_LOAD(i, plane) - mean, e = WIDE_LOAD(i + size, plane) - mean;
      even = fma(d, d, even);
      odd = fma(e, e, odd);
    }
    if (i < vectors) {
      const wide d = WIDE_LOAD(i, plane) - mean;
      even = fma(d, d, even);
    }
    for (i = vectors * WIDTH + lid; i < area; i += size)
      sum += (plane[i] - mean) * (plane[i] - mean);
  }
  const float variance = group_sum2(scratch, (float2)(sum + folded(even + odd), 0.0f), lid, size).s0 / count;
  const float invstd =
      1.0f / (unbiased ? sqrt(variance * count / fmax(count - 1.0f, 1.0f)) + epsilon : sqrt(variance + epsilon));

  const uint c = group % channels;
  const float scale = invstd * gamma[c];
  const float shift = beta[c] - mean * scale;
  for (uint p = 0; p < planes; ++p) {
    global const float *plane = x + start + p * planeStride;
    global const float *other = residual + start + p * planeStride;
    global float *out = y + start + p * planeStride;
    for (uint i = lid; i < vectors; i += size) {
      const wide v = fma(WIDE_LOAD(i, plane), (wide)(scale), (wide)(shift));
      const wide z = fmax(v, 0.0f) + slope * fmin(v, 0.0f);
      WIDE_STORE(hasResidual ? z + WIDE_LOAD(i, other) : z, i, out);
    }
    for (uint i = vectors * WIDTH + lid; i < area; i += size) {
      const float v = fma(plane[i], scale, shift);
      const float z = fmax(v, 0.0f) + slope * fmin(v, 0.0f);
      out[i] = hasResidual ? z + other[i] : z;
    }
  }
  if (lid == 0)
    statistics[group] = (float2)(mean, invstd);
}

// The gradient of normalize_forward: with z the value before the leaky ReLU, g = dy * (z > 0 ? 1 : slope)
// and h = (x - mean) * invstd,
//   dx = gamma * invstd * (g - mean(g) - h * mean(g * h) * k),  sums[group] = (sum g * h, sum g),
// the latter two being the gradients of gamma and beta (instance norm: still to be added over the images). k is 1; under
// `unbiased`, n / (n - 1) * (deviation + epsilon) / deviation.
// dx may be dy's own memory: each element is read for the last time just before it is written. Work sizes and layouts as
// in normalize_forward.
kernel void normalize_gradient(global const float *restrict x, global const float *dy, global const float *restrict gamma,
                               global const float *restrict beta, global const float2 *restrict statistics, global float *dx,
                               global float2 *restrict sums, local float2 *restrict scratch, const uint channels,
                               const uint planes, const uint area, const uint planeStride, const float epsilon,
                               const uint unbiased, const float slope) {
  const uint lid = get_local_id(0), size = get_local_size(0), group = get_group_id(0);
  const uint start = group * area, vectors = VECTORS(area, planeStride);
  const float count = (float)(planes * area);
  // What the forward pass found for the group, and its channel's parameters.
  const float mean = statistics[group].s0, invstd = statistics[group].s1;
  const float scale = gamma[group % channels], shift = beta[group % channels];

  wide gh16 = 0.0f, g16 = 0.0f;
  float gh = 0.0f, g = 0.0f;
  for (uint p = 0; p < planes; ++p) {
    global const float *from = x + start + p * planeStride;
    global const float *up = dy + start + p * planeStride;
    for (uint i = lid; i < vectors; i += size) {
      const wide h = (WIDE_LOAD(i, from) - mean) * invstd;
      const wide d = WIDE_LOAD(i, up);
      const wide masked = PASSED(d, fma(h, (wide)(scale), (wide)(shift)));
      gh16 = fma(masked, h, gh16);
      g16 += masked;
    }
    for (uint i = vectors * WIDTH + lid; i < area; i += size) {
      const float h = (from[i] - mean) * invstd;
      const float masked = fma(h, scale, shift) > 0.0f ? up[i] : slope * up[i];
      gh += masked * h;
      g += masked;
    }
  }
  const float2 total = group_sum2(scratch, (float2)(gh + folded(gh16), g + folded(g16)), lid, size);
  const float k = unbiased ? count / fmax(count - 1.0f, 1.0f) / fmax(1.0f - epsilon * invstd, 1e-6f) : 1.0f;
  const float meanGH = total.s0 / count * k;
  const float meanG = total.s1 / count;
  const float outer = scale * invstd;

  for (uint p = 0; p < planes; ++p) {
    global const float *from = x + start + p * planeStride;
    global const float *up = dy + start + p * planeStride;
    global float *out = dx + start + p * planeStride;
    for (uint i = lid; i < vectors; i += size) {
      const wide h = (WIDE_LOAD(i, from) - mean) * invstd;
      const wide d = WIDE_LOAD(i, up);
      const wide masked = PASSED(d, fma(h, (wide)(scale), (wide)(shift)));
      WIDE_STORE(outer * (masked - meanG - h * meanGH), i, out);
    }
    for (uint i = vectors * WIDTH + lid; i < area; i += size) {
      const float h = (from[i] - mean) * invstd;
      const float masked = fma(h, scale, shift) > 0.0f ? up[i] : slope * up[i];
      out[i] = outer * (masked - meanG - h * meanGH);
    }
  }
  if (lid == 0)
    sums[group] = total;
}

// The gradient of normalize_gradient's dx, u coming in: with h, k and invstd as there, m = dy * (z > 0 ? 1 : slope), n the
// count of a group, and of a group A = sum (u - mean(u)) * h, B = sum (m - mean(m)) * h, C = sum (u - mean(u)) * (m - mean(m)),
//   ddy = (z > 0 ? 1 : slope) * gamma * invstd * (u - mean(u) - h * k * A / n)
//   dx = -gamma * invstd^2 * k / n * (h * (C - q * k * A * B / n) + B * (u - mean(u)) + A * (m - mean(m)))
//   dgamma[group] = invstd * (C - k * A * B / n)      (instance norm: still to be added over the images)
// q is 3; under `unbiased`, where k depends on x too, 3 + epsilon * invstd / (1 - epsilon * invstd). beta's is 0.
// dx may be u's own memory, as in normalize_gradient. Work sizes and layouts as in normalize_forward.
kernel void normalize_second_gradient(global const float *restrict x, global const float *restrict dy, global const float *u,
                                      global const float *restrict gamma, global const float *restrict beta,
                                      global const float2 *restrict statistics, global float *dx, global float *restrict ddy,
                                      global float *restrict dgamma, local float2 *restrict scratch, const uint channels,
                                      const uint planes, const uint area, const uint planeStride, const float epsilon,
                                      const uint unbiased, const float slope) {
  const uint lid = get_local_id(0), size = get_local_size(0), group = get_group_id(0);
  const uint start = group * area, vectors = VECTORS(area, planeStride);
  const float count = (float)(planes * area);
  // What the forward pass found for the group, and its channel's parameters.
  const float mean = statistics[group].s0, invstd = statistics[group].s1;
  const float scale = gamma[group % channels], shift = beta[group % channels];

  wide u16 = 0.0f, m16 = 0.0f;
  float2 rest = 0.0f;
  for (uint p = 0; p < planes; ++p) {
    const uint first = start + p * planeStride;
    global const float *from = x + first, *inner = dy + first, *up = u + first;
    for (uint i = lid; i < vectors; i += size) {
      const wide h = (WIDE_LOAD(i, from) - mean) * invstd;
      const wide d = WIDE_LOAD(i, inner);
      m16 += PASSED(d, fma(h, (wide)(scale), (wide)(shift)));
      u16 += WIDE_LOAD(i, up);
    }
    for (uint i = vectors * WIDTH + lid; i < area; i += size) {
      const float h = (from[i] - mean) * invstd;
      rest += (float2)(up[i], fma(h, scale, shift) > 0.0f ? inner[i] : slope * inner[i]);
    }
  }
  const float2 means = group_sum2(scratch, rest + (float2)(folded(u16), folded(m16)), lid, size) / count;

  wide a16 = 0.0f, b16 = 0.0f, c16 = 0.0f;
  rest = 0.0f;
  float restC = 0.0f;
  for (uint p = 0; p < planes; ++p) {
    const uint first = start + p * planeStride;
    global const float *from = x + first, *inner = dy + first, *up = u + first;
    for (uint i = lid; i < vectors; i += size) {
      const wide h = (WIDE_LOAD(i, from) - mean) * invstd;
      const wide d = WIDE_LOAD(i, inner);
      const wide m = PASSED(d, fma(h, (wide)(scale), (wide)(shift))) - means.s1;
      const wide v = WIDE_LOAD(i, up) - means.s0;
      a16 = fma(v, h, a16);
      b16 = fma(m, h, b16);
      c16 = fma(v, m, c16);
    }
    for (uint i = vectors * WIDTH + lid; i < area; i += size) {
      const float h = (from[i] - mean) * invstd;
      const float m = (fma(h, scale, shift) > 0.0f ? inner[i] : slope * inner[i]) - means.s1;
      const float v = up[i] - means.s0;
      rest += (float2)(v * h, m * h);
      restC += v * m;
    }
  }
  const float2 ab = group_sum2(scratch, rest + (float2)(folded(a16), folded(b16)), lid, size);
  const float c = group_sum2(scratch, (float2)(restC + folded(c16), 0.0f), lid, size).s0;

  const float room = fmax(1.0f - epsilon * invstd, 1e-6f);
  const float k = unbiased ? count / fmax(count - 1.0f, 1.0f) / room : 1.0f;
  const float q = unbiased ? 3.0f + epsilon * invstd / room : 3.0f;
  const float kab = k * ab.s0 * ab.s1 / count;
  const float outer = scale * invstd;
  const float factor = -outer * invstd * k / count;
  const float meanA = k * ab.s0 / count;
  const float inH = c - q * kab;
  for (uint p = 0; p < planes; ++p) {
    const uint first = start + p * planeStride;
    global const float *from = x + first, *inner = dy + first, *up = u + first;
    global float *out = dx + first, *outInner = ddy + first;
    for (uint i = lid; i < vectors; i += size) {
      const wide h = (WIDE_LOAD(i, from) - mean) * invstd;
      const wide d = WIDE_LOAD(i, inner);
      const wide z = fma(h, (wide)(scale), (wide)(shift));
      const wide m = PASSED(d, z) - means.s1;
      const wide v = WIDE_LOAD(i, up) - means.s0;
      const wide plain = outer * (v - h * meanA);
      WIDE_STORE(PASSED(plain, z), i, outInner);
      WIDE_STORE(factor * (h * inH + ab.s1 * v + ab.s0 * m), i, out);
    }
    for (uint i = vectors * WIDTH + lid; i < area; i += size) {
      const float h = (from[i] - mean) * invstd;
      const int passes = fma(h, scale, shift) > 0.0f;
      const float m = (passes ? inner[i] : slope * inner[i]) - means.s1;
      const float v = up[i] - means.s0;
      const float plain = outer * (v - h * meanA);
      outInner[i] = passes ? plain : slope * plain;
      out[i] = factor * (h * inH + ab.s1 * v + ab.s0 * m);
    }
  }
  if (lid == 0)
    dgamma[group] = invstd * (c - kab);
}

// == section: pack ==

// Packs a matrix A[batch][rows][depth], given by strides, into row panels
// packed[batch][ceil(rows / MR)][depth][MR], zero beyond the last row. The depth index splits in two,
// k = k1 * depthInner + k2, each part with its own stride, so that transposed and flipped convolution
// weights and per-image gradients are read in place; k counts from firstDepth. A work-item packs depthRun steps of the depth
// of panelRun panels: many panels where neighbouring rows are neighbours in memory, many steps where those of the depth are.
// Global size: (ceil(depth / depthRun), ceil(panels / panelRun), batch).
kernel void pack_rows(global const float *restrict source, global float *restrict packed, const uint rows, const uint depth,
                      const uint firstDepth, const int batchStride, const int rowStride, const uint depthInner,
                      const int outerStride, const int innerStride, const int offset, const uint depthRun,
                      const uint panelRun) {
  const uint firstK = get_global_id(0) * depthRun;
  const uint firstPanel = get_global_id(1) * panelRun;
  const uint batch = get_global_id(2);
  const uint panels = (rows + MR - 1) / MR;
  if (firstK >= depth || firstPanel >= panels)
    return;
  const uint lastK = min(depth, firstK + depthRun), lastPanel = min(panels, firstPanel + panelRun);
  int k1 = (int)((firstDepth + firstK) / depthInner), k2 = (int)((firstDepth + firstK) % depthInner);
  for (uint k = firstK; k < lastK; ++k) {
    global const float *from = source + (offset + (int)batch * batchStride + k1 * outerStride + k2 * innerStride);
    for (uint panel = firstPanel; panel < lastPanel; ++panel) {
      global float *to = packed + ((ulong)(batch * panels + panel) * depth + k) * MR;
      const uint row = panel * MR;
      if (row + MR <= rows && rowStride == 1) {
        vstore4(vload4(0, from + row), 0, to);
        vstore2(vload2(0, from + row + 4), 0, to + 4);
      } else if (row + MR <= rows) {
#pragma unroll
        for (uint r = 0; r < MR; ++r)
          to[r] = from[(int)(row + r) * rowStride];
      } else {
        for (uint r = 0; r < MR; ++r)
          to[r] = row + r < rows ? from[(int)(row + r) * rowStride] : 0.0f;
      }
    }
    if (++k2 == (int)depthInner)
      k2 = 0, ++k1;
  }
}

// Packs a matrix B[batch][depth][columns], given by strides, into column panels
// packed[batch][ceil(columns / NR)][depth][NR], zero beyond the last column. The column index splits in
// two, n = n1 * columnInner + n2 (image and pixel), and counts from firstColumn. Global size: (depth, panels, batch).
kernel void pack_columns(global const float *restrict source, global float *restrict packed, const uint columns,
                         const uint depth, const uint firstColumn, const int batchStride, const int depthStride,
                         const uint columnInner, const int outerStride, const int innerStride, const int offset) {
  const uint k = get_global_id(0);
  const uint panel = get_global_id(1);
  const uint batch = get_global_id(2);
  const uint panels = (columns + NR - 1) / NR;
  if (k >= depth || panel >= panels)
    return;
  global const float *from = source + (offset + (int)batch * batchStride + (int)k * depthStride);
  global float *to = packed + ((ulong)(batch * panels + panel) * depth + k) * NR;
  const uint first = firstColumn + panel * NR;
  const uint end = firstColumn + columns;
  if (innerStride == 1 && first + NR <= end && first / columnInner == (first + NR - 1) / columnInner) {
    STORE16(vload16(0, from + (int)(first / columnInner) * outerStride + first % columnInner), to);
  } else {
    for (uint j = 0; j < NR; ++j) {
      const uint n = first + j;
      to[j] = n < end ? from[(int)(n / columnInner) * outerStride + (int)(n % columnInner) * innerStride] : 0.0f;
    }
  }
}

// == section: gemm ==

// One step of the depth of a register tile, sum: MR rows of a panel of B, whose row is v, then of its neighbour, whose row is
// w, where TILE_PANELS is 2; a0, a1, ... are of A. A processor whose registers hold a row of a panel has enough of them for two
// panels, and needs twelve sums in flight to keep its multipliers busy.
INLINED void gemm_step(float16 *sum, const float16 v, const float16 w, const float a0, const float a1, const float a2,
                       const float a3, const float a4, const float a5) {
  sum[0] = fma((float16)(a0), v, sum[0]);
  sum[1] = fma((float16)(a1), v, sum[1]);
  sum[2] = fma((float16)(a2), v, sum[2]);
  sum[3] = fma((float16)(a3), v, sum[3]);
  sum[4] = fma((float16)(a4), v, sum[4]);
  sum[5] = fma((float16)(a5), v, sum[5]);
#if TILE_PANELS == 2
  sum[6] = fma((float16)(a0), w, sum[6]);
  sum[7] = fma((float16)(a1), w, sum[7]);
  sum[8] = fma((float16)(a2), w, sum[8]);
  sum[9] = fma((float16)(a3), w, sum[9]);
  sum[10] = fma((float16)(a4), w, sum[10]);
  sum[11] = fma((float16)(a5), w, sum[11]);
#endif
}

// Where column n begins in rows of blocks.
static uint column_offset(const uint n, const uint columnBlock, const uint columnBlockStride) {
  return n / columnBlock * columnBlockStride + n % columnBlock;
}

// How far ahead of its use packed A is asked for, in floats: a page.
#define GEMM_AHEAD 1024

// C[batch][m][n] = sum over k of A * B (+ bias[m]) (+ C when ACCUMULATED), rectified, B packed as above but for the
// places of its panels: batch * bBatchStride + panel * bPanelStride. Element (m, k) of A lies at aOffset + batch *
// aBatchStride + m / MR * aPanelStride + m % MR * aRowStride + k * aDepthStride: packed as above (aDepthStride MR), or a
// matrix as it is (aDepthStride 1), whose rows are six streams then.
// Element (m, n) of C lies at cOffset + batch * cBatchStride + m * cRowStride + (n / columnBlock) * columnBlockStride
// + n % columnBlock, n counting from firstColumn, so that columns running over images and pixels land in NCHW.
// One work-item owns `columnPanels` B panels and `rowPanels` A panels. For a block of the depth it keeps a B panel in the
// first-level cache over all its A panels, or, where `leftOnce`, all its B panels in the second-level cache, so that a large
// A is read once, in long runs. Register tile: MR accumulators of NR floats.
// Global size: (ceil(panelsN / columnPanels), ceil(panelsM / rowPanels), batch).
kernel void gemm_packed(global const float *restrict a, global const float *restrict b, global float *restrict c,
                        const Product product, const uint rowPanels, const uint columnPanels, const uint depthBlock,
                        const uint leftOnce, EPILOGUE_ARGUMENTS) {
  const uint batch = get_global_id(2);
  const uint panelsM = (product.rows + MR - 1) / MR;
  const uint panelsN = (product.columns + NR - 1) / NR;
  const uint firstN = get_global_id(0) * columnPanels;
  const uint firstM = get_global_id(1) * rowPanels;
  if (firstN >= panelsN || firstM >= panelsM)
    return;
  const uint countN = min(panelsN - firstN, columnPanels);
  const uint countM = min(panelsM - firstM, rowPanels);
  global const float *aBatch = a + product.aOffset + (ulong)batch * product.aBatchStride;
  global const float *bBatch = b + (ulong)batch * product.bBatchStride;
  global float *cBatch = c + product.cOffset + (ulong)batch * product.cBatchStride;

  for (uint k0 = 0; k0 < product.depth; k0 += depthBlock) {
    const uint count = min(depthBlock, product.depth - k0);
    const int add = k0 > 0 || (flags & ACCUMULATED);
    const int addBias = k0 == 0 && (flags & WITH_BIAS);
    const int isLast = k0 + count == product.depth;
    const uint tilesN = (countN + TILE_PANELS - 1) / TILE_PANELS;
    for (uint i = 0; i < tilesN * countM; ++i) {
      const uint tileN = leftOnce ? i % tilesN : i / countM, pm = firstM + (leftOnce ? i / tilesN : i % countM);
      const uint pn = firstN + tileN * TILE_PANELS, panels = min((uint)TILE_PANELS, countN - tileN * TILE_PANELS);
      global const float *u = aBatch + (ulong)pm * product.aPanelStride + (ulong)k0 * product.aDepthStride;
      global const float *bp = bBatch + (ulong)pn * product.bPanelStride + k0 * NR;
      // A panel that is not there is its neighbour, and not stored.
      global const float *bq = bp + (panels - 1) * product.bPanelStride;
      const uint end = product.firstColumn + product.columns;
      for (uint p = 0; p < panels; ++p) {
        const uint n0 = product.firstColumn + (pn + p) * NR;
        global float *to =
            cBatch + (ulong)pm * MR * product.cRowStride + column_offset(n0, product.columnBlock, product.columnBlockStride);
        for (uint r = 0; r < MR; ++r)
          WILL_WRITE(to + r * product.cRowStride);
      }
      if (!leftOnce && tileN + 1 < tilesN) {
        // A share of the panels that come after all rows have had these.
        const uint share = (count + countM - 1) / countM, from = (pm - firstM) * share;
        for (uint k = from; k < from + share; ++k) {
          WILL_READ(bp + TILE_PANELS * product.bPanelStride + k * NR);
          if (TILE_PANELS == 2)
            WILL_READ(bp + 3 * product.bPanelStride + k * NR);
        }
      }
      float16 sum[TILE_PANELS * MR];
#pragma unroll
      for (uint i = 0; i < TILE_PANELS * MR; ++i)
        sum[i] = 0.0f;
      // Each with strides known to the compiler; pointers move on, since offsets of 32 bits would cost an addition a load.
      if (product.aDepthStride == MR) {
        for (uint k = 0; k < count; ++k, u += MR, bp += NR, bq += NR) {
          WILL_READ(u + GEMM_AHEAD);
          gemm_step(sum, vload16(0, bp), vload16(0, bq), u[0], u[1], u[2], u[3], u[4], u[5]);
        }
      } else {
        // Rows beyond the last are read from it and not stored.
        const uint last = min(product.rows - pm * MR, (uint)MR) - 1;
        global const float *u1 = u + min(1u, last) * product.aRowStride, *u2 = u + min(2u, last) * product.aRowStride,
                           *u3 = u + min(3u, last) * product.aRowStride, *u4 = u + min(4u, last) * product.aRowStride,
                           *u5 = u + min(5u, last) * product.aRowStride;
        for (uint k = 0; k < count; ++k, bp += NR, bq += NR)
          gemm_step(sum, vload16(0, bp), vload16(0, bq), u[k], u1[k], u2[k], u3[k], u4[k], u5[k]);
      }
      float16 tile[TILE_PANELS * MR]; // of what is in registers, what an index can reach
#pragma unroll
      for (uint i = 0; i < TILE_PANELS * MR; ++i)
        tile[i] = sum[i];
      for (uint p = 0; p < panels; ++p) {
        const uint n0 = product.firstColumn + (pn + p) * NR;
        const int whole = n0 + NR <= end && n0 / product.columnBlock == (n0 + NR - 1) / product.columnBlock;
        for (uint r = 0; r < MR && pm * MR + r < product.rows; ++r) {
          const uint m = pm * MR + r;
          global float *row = cBatch + (ulong)m * product.cRowStride;
          const float rate = SLOPE_OF(m);
          float16 value = tile[p * MR + r];
          if (addBias)
            value += bias[m];
          if (whole) {
            global float *to = row + column_offset(n0, product.columnBlock, product.columnBlockStride);
            if (add)
              value += vload16(0, to);
            STORE16(isLast ? RECTIFIED(value, rate) : value, to);
          } else {
            float lane[NR];
            vstore16(value, 0, lane);
            for (uint j = 0; j < NR && n0 + j < end; ++j) {
              global float *to = row + column_offset(n0 + j, product.columnBlock, product.columnBlockStride);
              const float total = add ? *to + lane[j] : lane[j];
              *to = isLast ? RECTIFIED(total, rate) : total;
            }
          }
        }
      }
    }
  }
}

// packed[batch][ceil(channels / NR)][panels * NR][NR] = source[batch][panels][channels][NR] with its last two axes
// transposed, zero beyond the last channel: lanes become the depth of a GEMM. The source's batches lie SPACED apart. Global
// size: (channel panels, panels, batch).
kernel void transpose_panels(global const float *restrict source, global float *restrict packed, const uint channels,
                             const uint panels) {
  const uint channelPanel = get_global_id(0);
  const uint panel = get_global_id(1);
  const uint batch = get_global_id(2);
  const uint channelPanels = (channels + NR - 1) / NR;
  if (channelPanel >= channelPanels || panel >= panels)
    return;
  global const float *from =
      source + batch * SPACED((ulong)panels * channels * NR) + (panel * channels + channelPanel * NR) * NR;
  global float *to = packed + ((ulong)(batch * channelPanels + channelPanel) * panels + panel) * NR * NR;
  const uint count = min((uint)NR, channels - channelPanel * NR);
  float16 block[NR];
#pragma unroll
  for (uint c = 0; c < NR; ++c)
    block[c] = c < count ? vload16(c, from) : (float16)(0.0f);
  transpose(block, NR);
#pragma unroll
  for (uint j = 0; j < NR; ++j)
    STORE16(block[j], to + j * NR);
}

// C[batch][m][n] (+)= sum over t of A[t / NR][batch][m][t % NR] * B[batch][n / NR][t][n % NR] over panels * NR values
// of t: the weight gradient in Winograd space, where t counts tiles. C is row-major [batch][rows][columns]; A's matrices
// of [m][NR] lie SPACED apart.
// Register tile as in gemm_packed. Global size: (ceil(columns / NR / TILE_PANELS), ceil(rows / MR), batch).
kernel void gemm_lanes(global const float *restrict a, global const float *restrict b, global float *restrict c,
                       const uint rows, const uint columns, const uint panels, const uint batches, const uint accumulating) {
  const uint pn = get_global_id(0) * TILE_PANELS;
  const uint pm = get_global_id(1);
  const uint batch = get_global_id(2);
  const uint panelsN = (columns + NR - 1) / NR;
  if (pn >= panelsN || pm * MR >= rows)
    return;
  global const float *aBatch = a + (ulong)batch * SPACED(rows * NR);
  global const float *bp = b + (ulong)(batch * panelsN + pn) * panels * NR * NR;
  const uint tilePanels = min((uint)TILE_PANELS, panelsN - pn);
  global const float *bq = bp + (ulong)(tilePanels - 1) * panels * NR * NR;
  float16 sum[TILE_PANELS * MR];
#pragma unroll
  for (uint i = 0; i < TILE_PANELS * MR; ++i)
    sum[i] = 0.0f;
  const uint last = rows - 1; // rows beyond it are read from it and not stored
  const uint r0 = pm * MR * NR, r1 = min(pm * MR + 1, last) * NR, r2 = min(pm * MR + 2, last) * NR,
             r3 = min(pm * MR + 3, last) * NR, r4 = min(pm * MR + 4, last) * NR, r5 = min(pm * MR + 5, last) * NR;
  for (uint panel = 0; panel < panels; ++panel) {
    global const float *ap = aBatch + (ulong)panel * batches * SPACED(rows * NR);
    global const float *a0 = ap + r0, *a1 = ap + r1, *a2 = ap + r2, *a3 = ap + r3, *a4 = ap + r4, *a5 = ap + r5;
    for (uint j = 0; j < NR; ++j, bp += NR, bq += NR)
      gemm_step(sum, vload16(0, bp), vload16(0, bq), a0[j], a1[j], a2[j], a3[j], a4[j], a5[j]);
  }
  float16 tile[TILE_PANELS * MR]; // of what is in registers, what an index can reach
#pragma unroll
  for (uint i = 0; i < TILE_PANELS * MR; ++i)
    tile[i] = sum[i];
  for (uint p = 0; p < tilePanels; ++p) {
    const uint n0 = (pn + p) * NR;
    for (uint r = 0; r < MR && pm * MR + r < rows; ++r) {
      global float *to = c + ((ulong)batch * rows + pm * MR + r) * columns + n0;
      const float16 value = tile[p * MR + r];
      if (n0 + NR <= columns) {
        STORE16(accumulating ? value + vload16(0, to) : value, to);
      } else {
        float lane[NR];
        vstore16(value, 0, lane);
        for (uint j = 0; n0 + j < columns; ++j)
          to[j] = accumulating ? to[j] + lane[j] : lane[j];
      }
    }
  }
}

// == section: tiled ==

// Matrix products for GPUs: C[batch][m][n] = sum over k of A[m][k] * B[k][n], a tile of C a work-group, its operands in
// local memory, two steps of the depth at a time: while one is multiplied the next is fetched into registers. The kernels
// differ in where A and B come from: packed panels, or straight from images, so that no columns are ever stored.
//
// TILE_ITEMS work-items stand TILE_WIDTH wide. A work-item owns TILE_RM / 4 x TILE_RN / 4 blocks of 4 x 4
// of C, a block of rows for each TILE_HEIGHT * 4 rows, a block of columns for each TILE_WIDTH * 4 columns, so that
// neighbours read neighbouring float4 of local memory.
//
// Where there are fewer tiles than compute units, the depth is split too: each split writes a partial product of its own,
// and tiled_fold adds them in order, so that results repeat bit for bit.
//
// Local size: (TILE_WIDTH, TILE_HEIGHT); global size: (ceil(columns / TILE_N) * TILE_WIDTH, ceil(rows / TILE_M) *
// TILE_HEIGHT, batch * splits).
#define TILE_HEIGHT (TILE_ITEMS / TILE_WIDTH)
#define TILE_M (TILE_HEIGHT * TILE_RM)
#define TILE_N (TILE_WIDTH * TILE_RN)
// float4s of a step of the depth in local memory: one more than are used, against bank conflicts.
#define LEFT_PITCH (TILE_M / 4 + 1)
#define RIGHT_PITCH (TILE_N / 4 + 1)
// What a work-item fetches for a step. TILE_ITEMS is a multiple of TILE_K and of TILE_N.
#define LEFT_ROWS (TILE_ITEMS / TILE_K)
#define LEFT_LOADS ((TILE_M + LEFT_ROWS - 1) / LEFT_ROWS)
#define RIGHT_STEP (TILE_ITEMS / TILE_N)
#define RIGHT_LOADS (TILE_K / RIGHT_STEP)

#if SUB_GROUP
#define TILED_KERNEL kernel __attribute__((intel_reqd_sub_group_size(SUB_GROUP)))
#else
#define TILED_KERNEL kernel
#endif

// The last arguments of every product: the product as in gemm_packed (C is partial[batch * splits + split][m][n]
// where splits > 1); as much of the depth as a split takes, a multiple of TILE_K.
#define TILED_ARGUMENTS const Product product, const uint depthRun, const uint splits, EPILOGUE_ARGUMENTS

// What a work-item of a product keeps in registers.
typedef struct {
  uint lx, ly, item;      // its column and row in its work-group, and its number there
  uint firstM, firstN, z; // where the work-group's tile of C begins, and of which matrix, or split of one
  uint k0, lastK;         // the step of the depth that is fetched next, and where the depth ends
  uint leftK, leftM;      // what of A it fetches: of a step, k0 + leftK; rows from leftM on, LEFT_ROWS apart
  float left[LEFT_LOADS], right[RIGHT_LOADS]; // what it fetched
  float4 sum[TILE_RM * TILE_RN / 4];          // its part of C
} TiledItem;

// A work-item's place, and C = 0.
INLINED void begin_tile(TiledItem *own, const uint depth, const uint depthRun, const uint splits) {
  own->lx = get_local_id(0), own->ly = get_local_id(1), own->item = own->ly * TILE_WIDTH + own->lx;
  own->firstM = get_group_id(1) * TILE_M, own->firstN = get_group_id(0) * TILE_N, own->z = get_group_id(2);
  own->k0 = own->z % splits * depthRun, own->lastK = min(depth, own->k0 + depthRun);
  own->leftK = own->item % TILE_K, own->leftM = own->firstM + own->item / TILE_K;
#pragma unroll
  for (uint i = 0; i < TILE_RM * TILE_RN / 4; ++i)
    own->sum[i] = 0.0f;
}

// A step of the depth: sum += left^T right. Two of its elements are in flight at a time: unrolled further, a large tile's
// work-item needs so many registers that one work-group fills an NVIDIA multiprocessor, where two should fit.
INLINED void multiply_step(TiledItem *own, local const float4 *left, local const float4 *right) {
#pragma unroll 2
  for (uint k = 0; k < TILE_K; ++k) {
    float4 b[TILE_RN / 4];
#pragma unroll
    for (uint j = 0; j < TILE_RN / 4; ++j)
      b[j] = right[k * RIGHT_PITCH + j * TILE_WIDTH + own->lx];
#pragma unroll
    for (uint i = 0; i < TILE_RM / 4; ++i) {
      const float4 a = left[k * LEFT_PITCH + i * TILE_HEIGHT + own->ly];
#pragma unroll
      for (uint j = 0; j < TILE_RN / 4; ++j) {
        float4 *to = own->sum + 4 * i * (TILE_RN / 4) + j;
        to[0] = fma((float4)(a.s0), b[j], to[0]);
        to[TILE_RN / 4] = fma((float4)(a.s1), b[j], to[TILE_RN / 4]);
        to[2 * (TILE_RN / 4)] = fma((float4)(a.s2), b[j], to[2 * (TILE_RN / 4)]);
        to[3 * (TILE_RN / 4)] = fma((float4)(a.s3), b[j], to[3 * (TILE_RN / 4)]);
      }
    }
  }
}

// Fetched values into local memory. Of A, and of B where `byDepth`, neighbouring work-items fetched neighbouring steps of
// the depth; of B else, neighbouring columns.
INLINED void stash(const TiledItem *own, local float4 *left, local float4 *right, const int byDepth) {
  const uint item = own->item;
  local float *a = (local float *)left + item % TILE_K * LEFT_PITCH * 4 + item / TILE_K;
#pragma unroll
  for (uint j = 0; j < LEFT_LOADS; ++j)
    if (LEFT_LOADS * LEFT_ROWS == TILE_M || item / TILE_K + j * LEFT_ROWS < TILE_M)
      a[j * LEFT_ROWS] = own->left[j];
  local float *b = (local float *)right + (byDepth ? item % TILE_K * RIGHT_PITCH * 4 + item / TILE_K
                                                   : item / TILE_N * RIGHT_PITCH * 4 + item % TILE_N);
#pragma unroll
  for (uint j = 0; j < RIGHT_LOADS; ++j)
    b[byDepth ? j * LEFT_ROWS : j * RIGHT_STEP * RIGHT_PITCH * 4] = own->right[j];
}

// What comes after the fetch of a step, if there was one: the step before, number `now` % 2 in local memory, is multiplied, and
// the one that was fetched takes the other half.
INLINED void tiled_step(TiledItem *own, local float4 *left, local float4 *right, const uint now, const int byDepth) {
  const uint next = now ^ 1;
  multiply_step(own, left + now * TILE_K * LEFT_PITCH, right + now * TILE_K * RIGHT_PITCH);
  if (own->k0 < own->lastK)
    stash(own, left + next * TILE_K * LEFT_PITCH, right + next * TILE_K * RIGHT_PITCH, byDepth);
  barrier(CLK_LOCAL_MEM_FENCE);
}

// Stores a work-item's part of C.
INLINED void store_tile(const TiledItem *own, global float *c, TILED_ARGUMENTS) {
  const int isWhole = splits == 1;
  const uint blockStride = isWhole ? product.columnBlockStride : 0, block = isWhole ? product.columnBlock : product.columns;
  const uint stride = isWhole ? product.cRowStride : product.columns;
  global float *base =
      c + (isWhole ? product.cOffset + (ulong)own->z * product.cBatchStride : (ulong)own->z * product.rows * product.columns);
  // Four columns at a time where they always lie together, at a multiple of four.
  const int together = ((block | blockStride | stride | product.columns) & 3) == 0 &&
                       (!isWhole || ((product.cOffset | product.cBatchStride) & 3) == 0);
#pragma unroll
  for (uint i = 0; i < TILE_RM; ++i) {
    const uint m = own->firstM + (i / 4 * TILE_HEIGHT + own->ly) * 4 + i % 4;
    if (m >= product.rows)
      continue;
    const float shift = isWhole ? BIAS_OF(m) : 0.0f, rate = SLOPE_OF(m);
#pragma unroll
    for (uint j = 0; j < TILE_RN / 4; ++j) {
      const uint n = own->firstN + (j * TILE_WIDTH + own->lx) * 4;
      const float4 value = own->sum[i * (TILE_RN / 4) + j] + shift;
      if (n >= product.columns)
        continue;
      if (together) {
        global float4 *to = (global float4 *)(base + (ulong)m * stride + n / block * blockStride + n % block);
        const float4 total = isWhole && flags & ACCUMULATED ? *to + value : value;
        *to = isWhole ? select(total, rate * total, total < 0.0f) : total;
        continue;
      }
      const float lane[4] = {value.s0, value.s1, value.s2, value.s3};
#pragma unroll
      for (uint q = 0; q < 4; ++q) {
        if (n + q >= product.columns)
          continue;
        global float *to = base + (ulong)m * stride + (n + q) / block * blockStride + (n + q) % block;
        const float total = isWhole && flags & ACCUMULATED ? *to + lane[q] : lane[q];
        *to = isWhole ? RECTIFIED(total, rate) : total;
      }
    }
  }
}

// The memory of a work-group's product: two steps of either operand.
#define LEFT_MEMORY (2 * TILE_K * LEFT_PITCH)
#define RIGHT_MEMORY (2 * TILE_K * RIGHT_PITCH)

// A kernel fetches the first step of the depth; then, while one is multiplied, the next.

// The step at own->k0 of operands as gemm_packed takes them, of one matrix.
INLINED void fetch_packed(TiledItem *own, global const float *a, global const float *b, const Product product,
                          const uint batch) {
  global const float *aBatch = a + product.aOffset + (ulong)batch * product.aBatchStride;
  const uint leftK = own->k0 + own->leftK;
#pragma unroll
  for (uint j = 0; j < LEFT_LOADS; ++j) {
    const uint m = own->leftM + j * LEFT_ROWS;
    own->left[j] = m < product.rows && leftK < own->lastK
                       ? aBatch[m / MR * product.aPanelStride + m % MR * product.aRowStride + leftK * product.aDepthStride]
                       : 0.0f;
  }
  const uint n = own->firstN + own->item % TILE_N;
  global const float *bColumn = b + (ulong)batch * product.bBatchStride + (ulong)(n / NR) * product.bPanelStride + n % NR;
#pragma unroll
  for (uint j = 0; j < RIGHT_LOADS; ++j) {
    const uint k = own->k0 + own->item / TILE_N + j * RIGHT_STEP;
    own->right[j] = n < product.columns && k < own->lastK ? bColumn[k * NR] : 0.0f;
  }
}

// The product of operands as gemm_packed takes them.
TILED_KERNEL void tiled_packed(global const float *restrict a, global const float *restrict b, global float *c,
                               TILED_ARGUMENTS) {
  local float4 left[LEFT_MEMORY], right[RIGHT_MEMORY];
  TiledItem own;
  begin_tile(&own, product.depth, depthRun, splits);
  fetch_packed(&own, a, b, product, own.z / splits);
  stash(&own, left, right, 0);
  barrier(CLK_LOCAL_MEM_FENCE);
  for (uint now = 0; own.k0 < own.lastK; now ^= 1) {
    own.k0 += TILE_K;
    if (own.k0 < own.lastK)
      fetch_packed(&own, a, b, product, own.z / splits);
    tiled_step(&own, left, right, now, 0);
  }
  store_tile(&own, c, product, depthRun, splits, bias, slopes, flags, slope);
}

// What tiled_conv2d fetches of its images: a column n, an output pixel, its window beginning at (y0, x0); and the steps of the
// depth from (ci, ky, kx) on, RIGHT_STEP apart.
typedef struct {
  uint image;
  int y0, x0;
  uint ci, ky, kx;
} WindowPlace;

// The place of the first step.
INLINED void begin_windows(WindowPlace *at, const TiledItem *own, const Convolution conv, const uint columns) {
  const uint n = own->firstN + own->item % TILE_N, k = own->k0 + own->item / TILE_N;
  const uint taps = conv.kernelHeight * conv.kernelWidth, area = conv.outHeight * conv.outWidth;
  // Beyond the last column a row far above the image: every check of fetch_conv2d fails.
  at->y0 = n < columns ? (int)(n % area / conv.outWidth * conv.stride) - (int)conv.padding : -0x40000000;
  at->x0 = (int)(n % area % conv.outWidth * conv.stride) - (int)conv.padding;
  at->image = n / area;
  at->ci = k / taps, at->ky = k % taps / conv.kernelWidth, at->kx = k % conv.kernelWidth;
}

// The step at own->k0 of tiled_conv2d; moves the place on by a step.
INLINED void fetch_conv2d(TiledItem *own, WindowPlace *at, global const float *x, global const float *w, const Convolution conv,
                          const uint rows, const uint weightRow, const uint weightChannel, const uint flipped) {
  const uint taps = conv.kernelHeight * conv.kernelWidth;
  const uint leftK = own->k0 + own->leftK, tap = leftK % taps;
  const uint weight = leftK / taps * weightChannel + (flipped ? taps - 1 - tap : tap);
#pragma unroll
  for (uint j = 0; j < LEFT_LOADS; ++j) {
    const uint m = own->leftM + j * LEFT_ROWS;
    own->left[j] = m < rows && leftK < own->lastK ? w[m * weightRow + weight] : 0.0f;
  }
#pragma unroll
  for (uint j = 0; j < RIGHT_LOADS; ++j) {
    const int iy = at->y0 + (int)(at->ky * conv.dilation), ix = at->x0 + (int)(at->kx * conv.dilation);
    const int inside = own->k0 + own->item / TILE_N + j * RIGHT_STEP < own->lastK && iy >= 0 && iy < (int)conv.height &&
                       ix >= 0 && ix < (int)conv.width;
    own->right[j] = inside ? x[((at->image * conv.channels + at->ci) * conv.height + (uint)iy) * conv.width + (uint)ix] : 0.0f;
    for (at->kx += RIGHT_STEP; at->kx >= conv.kernelWidth; at->kx -= conv.kernelWidth)
      if (++at->ky == conv.kernelHeight)
        at->ky = 0, ++at->ci;
  }
}

// Ungrouped convolution, an implicit im2col: m the output channel, n = (image, oy, ox), k = (ci, ky, kx);
//   A = w[m * weightRow + ci * weightChannel + tap], taps last first where `flipped` (then the input gradient of stride 1),
//   B = x[image, ci, oy * strides - padding + ky * dilation, ...], 0 outside.
TILED_KERNEL void tiled_conv2d(global const float *restrict x, global const float *restrict w, global float *c,
                               const Convolution conv, const uint weightRow, const uint weightChannel, const uint flipped,
                               TILED_ARGUMENTS) {
  local float4 left[LEFT_MEMORY], right[RIGHT_MEMORY];
  TiledItem own;
  WindowPlace at;
  begin_tile(&own, product.depth, depthRun, splits);
  begin_windows(&at, &own, conv, product.columns);
  fetch_conv2d(&own, &at, x, w, conv, product.rows, weightRow, weightChannel, flipped);
  stash(&own, left, right, 0);
  barrier(CLK_LOCAL_MEM_FENCE);
  for (uint now = 0; own.k0 < own.lastK; now ^= 1) {
    own.k0 += TILE_K;
    if (own.k0 < own.lastK)
      fetch_conv2d(&own, &at, x, w, conv, product.rows, weightRow, weightChannel, flipped);
    tiled_step(&own, left, right, now, 0);
  }
  store_tile(&own, c, product, depthRun, splits, bias, slopes, flags, slope);
}

// What tiled_conv2d_weight_gradient fetches: the pixel of dy that is the step of the depth; and of its columns n, which are
// weights, how far from the pixel's place in x theirs lies.
typedef struct {
  uint image, oy, ox;
  int dy[RIGHT_LOADS], dx[RIGHT_LOADS], offset[RIGHT_LOADS];
} PixelPlace;

// The place of the first step.
INLINED void begin_pixels(PixelPlace *at, const TiledItem *own, const Convolution conv, const uint columns) {
  const uint taps = conv.kernelHeight * conv.kernelWidth, area = conv.outHeight * conv.outWidth;
  const uint k = own->k0 + own->leftK;
  at->image = k / area, at->oy = k % area / conv.outWidth, at->ox = k % conv.outWidth;
#pragma unroll
  for (uint j = 0; j < RIGHT_LOADS; ++j) {
    const uint n = own->firstN + own->item / TILE_K + j * LEFT_ROWS, tap = n % taps;
    at->dy[j] = (int)(tap / conv.kernelWidth * conv.dilation) - (int)conv.padding;
    at->dx[j] = (int)(tap % conv.kernelWidth * conv.dilation) - (int)conv.padding;
    at->offset[j] = (int)(n / taps * conv.height * conv.width) + at->dy[j] * (int)conv.width + at->dx[j];
    // A row far above the image: every check of fetch_weight_gradient fails.
    if (n >= columns)
      at->dy[j] = -0x40000000;
  }
}

// The step at own->k0 of tiled_conv2d_weight_gradient; moves the place on by a step.
INLINED void fetch_weight_gradient(TiledItem *own, PixelPlace *at, global const float *x, global const float *dy,
                                   const Convolution conv, const uint rows) {
  const uint area = conv.outHeight * conv.outWidth;
  const int here = own->k0 + own->leftK < own->lastK;
  global const float *up = dy + (ulong)at->image * rows * area + at->oy * conv.outWidth + at->ox;
#pragma unroll
  for (uint j = 0; j < LEFT_LOADS; ++j) {
    const uint m = own->leftM + j * LEFT_ROWS;
    own->left[j] = here && m < rows ? up[m * area] : 0.0f;
  }
  const int iy = (int)(at->oy * conv.stride), ix = (int)(at->ox * conv.stride);
  global const float *from = x + (ulong)at->image * conv.channels * conv.height * conv.width;
#pragma unroll
  for (uint j = 0; j < RIGHT_LOADS; ++j) {
    const int py = iy + at->dy[j], px = ix + at->dx[j];
    const int inside = here && py >= 0 && py < (int)conv.height && px >= 0 && px < (int)conv.width;
    own->right[j] = inside ? from[at->offset[j] + iy * (int)conv.width + ix] : 0.0f;
  }
  for (at->ox += TILE_K; at->ox >= conv.outWidth; at->ox -= conv.outWidth)
    if (++at->oy == conv.outHeight)
      at->oy = 0, ++at->image;
}

// The weight gradient of an ungrouped convolution: m the output channel, n = (ci, ky, kx), k = (image, oy, ox);
//   A = dy[image, m, oy, ox], B = x[image, ci, oy * strides - padding + ky * dilation, ...], 0 outside.
TILED_KERNEL void tiled_conv2d_weight_gradient(global const float *restrict x, global const float *restrict dy, global float *c,
                                               const Convolution conv, TILED_ARGUMENTS) {
  local float4 left[LEFT_MEMORY], right[RIGHT_MEMORY];
  TiledItem own;
  PixelPlace at;
  begin_tile(&own, product.depth, depthRun, splits);
  begin_pixels(&at, &own, conv, product.columns);
  fetch_weight_gradient(&own, &at, x, dy, conv, product.rows);
  stash(&own, left, right, 1);
  barrier(CLK_LOCAL_MEM_FENCE);
  for (uint now = 0; own.k0 < own.lastK; now ^= 1) {
    own.k0 += TILE_K;
    if (own.k0 < own.lastK)
      fetch_weight_gradient(&own, &at, x, dy, conv, product.rows);
    tiled_step(&own, left, right, now, 1);
  }
  store_tile(&own, c, product, depthRun, splits, bias, slopes, flags, slope);
}

// C from the partial products of a split depth. Global size: (columns, rows, batch).
kernel void tiled_fold(global const float *restrict partial, global float *c, TILED_ARGUMENTS) {
  const uint n = get_global_id(0), m = get_global_id(1), batch = get_global_id(2);
  if (n >= product.columns || m >= product.rows)
    return;
  global const float *from = partial + ((ulong)batch * splits * product.rows + m) * product.columns + n;
  float total = BIAS_OF(m);
  for (uint s = 0; s < splits; ++s)
    total += from[(ulong)s * product.rows * product.columns];
  global float *to = c + product.cOffset + (ulong)batch * product.cBatchStride + (ulong)m * product.cRowStride +
                     n / product.columnBlock * product.columnBlockStride + n % product.columnBlock;
  if (flags & ACCUMULATED)
    total += *to;
  *to = RECTIFIED(total, SLOPE_OF(m));
}

// == section: few ==

// Rows of outputs of a work-item, and how many parts the channels are shared out in.
#define FEW_ROWS 4
#define FEW_SLICES (FEW_ITEMS / 32)

// A convolution with at most four outputs, of 7x7 windows, stride and dilation 1: a generator's last, and the input gradient of its
// first. As a tiled product it would have three rows of sixteen. The lanes of a float4 are the outputs; a work-item makes FEW_ROWS
// rows of one column of them, over every FEW_SLICES-th channel; the slices' sums are added in their order.
// x[N][channels][height][width], w as tiled_conv2d takes it, c[N][outChannels][outHeight][outWidth]. Local size (32, FEW_SLICES);
// global (ceil(outWidth / 32) * 32, ceil(outHeight / FEW_ROWS) * FEW_SLICES, N).
kernel void conv2d_few(global const float *restrict x, global const float *restrict w, global float *restrict c,
                       const Convolution conv, const uint weightRow, const uint weightChannel, const uint flipped,
                       EPILOGUE_ARGUMENTS) {
  local float4 weights[FEW_SLICES * 49], partial[FEW_SLICES * FEW_ROWS * 32];
  const uint lx = get_local_id(0), slice = get_local_id(1);
  const uint ox = get_group_id(0) * 32 + lx, firstRow = get_group_id(1) * FEW_ROWS, image = get_group_id(2);
  const int x0 = (int)ox - (int)conv.padding, y0 = (int)firstRow - (int)conv.padding;
  float4 sum[FEW_ROWS] = {0.0f, 0.0f, 0.0f, 0.0f};
  for (uint first = 0; first < conv.channels; first += FEW_SLICES) {
    // All have read the weights of the channels before.
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = slice * 32 + lx; i < FEW_SLICES * 49; i += FEW_SLICES * 32) {
      const uint ci = first + i / 49, tap = i % 49;
      global const float *from = w + ci * weightChannel + (flipped ? 48 - tap : tap);
      const int isThere = ci < conv.channels;
      weights[i] = (float4)(isThere ? from[0] : 0.0f, isThere && conv.outChannels > 1 ? from[weightRow] : 0.0f,
                            isThere && conv.outChannels > 2 ? from[2 * weightRow] : 0.0f,
                            isThere && conv.outChannels > 3 ? from[3 * weightRow] : 0.0f);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (first + slice >= conv.channels)
      continue;
    global const float *plane = x + (ulong)(image * conv.channels + first + slice) * conv.height * conv.width;
    // Unrolled, all windows' pixels would be loaded at once, for which AMD's registers are too few.
#pragma unroll 1
    for (uint kx = 0; kx < 7; ++kx) {
      const int ix = x0 + (int)kx;
      float v[FEW_ROWS + 6];
#pragma unroll
      for (uint i = 0; i < FEW_ROWS + 6; ++i) {
        const int iy = y0 + (int)i;
        const int inside = ix >= 0 && ix < (int)conv.width && iy >= 0 && iy < (int)conv.height;
        v[i] = inside ? plane[(uint)iy * conv.width + (uint)ix] : 0.0f;
      }
#pragma unroll
      for (uint ky = 0; ky < 7; ++ky) {
        const float4 weight = weights[slice * 49 + ky * 7 + kx];
#pragma unroll
        for (uint r = 0; r < FEW_ROWS; ++r)
          sum[r] = fma(weight, (float4)(v[ky + r]), sum[r]);
      }
    }
  }
#pragma unroll
  for (uint r = 0; r < FEW_ROWS; ++r)
    partial[(slice * FEW_ROWS + r) * 32 + lx] = sum[r];
  barrier(CLK_LOCAL_MEM_FENCE);
  for (uint r = slice; r < FEW_ROWS; r += FEW_SLICES) {
    const uint oy = firstRow + r;
    if (ox >= conv.outWidth || oy >= conv.outHeight)
      continue;
    float4 total = 0.0f;
    for (uint s = 0; s < FEW_SLICES; ++s)
      total += partial[(s * FEW_ROWS + r) * 32 + lx];
    const float lane[4] = {total.s0, total.s1, total.s2, total.s3};
#pragma unroll
    for (uint m = 0; m < 4; ++m) {
      if (m >= conv.outChannels)
        continue;
      const float value = lane[m] + BIAS_OF(m), rate = SLOPE_OF(m);
      c[((ulong)(image * conv.outChannels + m) * conv.outHeight + oy) * conv.outWidth + ox] = RECTIFIED(value, rate);
    }
  }
}

// == section: lanes ==

// Whether vectors of sixteen elements of a row, `stride` (1 or 2) apart, that begin at x0 to x1 reach beyond the row's ends, maybe,
// but not beyond its tensor's, of which `before` elements lie before the row's first and `after` from it on.
INLINED int is_readable(const int x0, const int x1, const int stride, const long before, const long after) {
  return stride <= 2 && x0 >= -before && x1 + 16 * stride <= after;
}

// Sixteen elements of a row at x0, x0 + stride, ..., of which those outside 0 ..< width read as `fill`. Where `isReadable` all
// are read.
INLINED float16 row_lanes_or(global const float *row, const int x0, const int stride, const int width, const int isReadable,
                             const float fill) {
  if (isReadable) {
    const float16 p = vload16(0, row + x0);
    const float16 v = stride == 1 ? p : (float16)(p.even, vload16(1, row + x0).even);
    if (x0 >= 0 && x0 + 15 * stride < width)
      return v;
    const int16 x = x0 + stride * (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return select((float16)(fill), v, as_uint16(x) < (uint)width);
  }
  float lane[16];
  for (int j = 0; j < 16; ++j) {
    const int x = x0 + j * stride;
    lane[j] = x >= 0 && x < width ? row[x] : fill;
  }
  return vload16(0, lane);
}

// The same with zeros outside.
INLINED float16 row_lanes(global const float *row, const int x0, const int stride, const int width, const int isReadable) {
  return row_lanes_or(row, x0, stride, width, isReadable, 0.0f);
}

// Element x of a row, 0 outside it.
static float row_element(global const float *row, const int x, const int width) { return x >= 0 && x < width ? row[x] : 0.0f; }

// The first `count` lanes of v into a row: all of them at most, none where it is not positive.
static void store_lanes(global float *to, const float16 v, const int count) {
  if (count >= 16) {
    STORE16(v, to);
    return;
  }
  if (count <= 0)
    return;
  float8 rest = v.lo;
  if (count & 8) {
    vstore8(rest, 0, to);
    to += 8;
    rest = v.hi;
  }
  if (count & 4) {
    vstore4(rest.lo, 0, to);
    to += 4;
    rest.lo = rest.hi;
  }
  if (count & 2) {
    vstore2(rest.s01, 0, to);
    to += 2;
    rest.s0 = rest.s2;
  }
  if (count & 1)
    to[0] = rest.s0;
}

// == section: conv ==

// How kernels go over a row of `width` pixels: on a processor a work-item makes a row, sixteen pixels at a time; on a GPU one
// pixel, whose neighbours its neighbours make. Global sizes: (rows, planes), and (width, rows, planes). A work-item's pixels
// are
//   for (uint x = FIRST_X; x < end_x(width); x += LANES)
// or, where the x of one phase x % stride are neighbours, x = i0 * stride + phase,
//   for (uint phase = FIRST_X % stride; phase < end_phase(stride); ++phase)
//     for (uint i0 = FIRST_X / stride; i0 * stride + phase < end_x(width); i0 += LANES)
// `run` is what is at x on.
#if LANES == 16
typedef float16 run;
#define ROW_ID get_global_id(0)
#define PLANE_ID get_global_id(1)
#define FIRST_X 0u
static uint end_x(const uint width) { return width; }
static uint end_phase(const uint stride) { return stride; }
#define RUN_AT(ROW, X, STRIDE, WIDTH, READABLE) row_lanes(ROW, X, STRIDE, WIDTH, READABLE)
#define RUN_INSIDE(P) vload16(0, P)
#define STORE_RUN(V, TO, COUNT) store_lanes(TO, V, COUNT)

// The lanes of v at x = (i0 + lane) * stride + phase of a row of `width`; those beyond it are dropped.
static void store_phase(global float *row, const float16 v, const uint i0, const uint stride, const uint phase,
                        const uint width) {
  if (stride == 1) {
    store_lanes(row + i0, v, (int)(width - i0));
    return;
  }
  float lane[16];
  vstore16(v, 0, lane);
  for (uint j = 0; j < 16; ++j) {
    const uint x = (i0 + j) * stride + phase;
    if (x < width)
      row[x] = lane[j];
  }
}
#else
typedef float run;
#define ROW_ID get_global_id(1)
#define PLANE_ID get_global_id(2)
#define FIRST_X ((uint)get_global_id(0))
static uint end_x(const uint width) { return min(FIRST_X + 1, width); }
static uint end_phase(const uint stride) { return FIRST_X % stride + 1; }
#define RUN_AT(ROW, X, STRIDE, WIDTH, READABLE) row_element(ROW, X, WIDTH)
#define RUN_INSIDE(P) (P)[0]
#define STORE_RUN(V, TO, COUNT) (TO)[0] = (V)

static void store_phase(global float *row, const float v, const uint i0, const uint stride, const uint phase,
                        const uint width) {
  row[i0 * stride + phase] = v;
}
#endif

// a / b rounded down, for b > 0: of the commonest strides without a division, which takes longer than a tap.
static int floor_divided(const int a, const int b) {
  if (b <= 2)
    return a >> (b - 1);
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}

// A run from x on of a row that may be read sixteen elements beyond its ends, where it counts as 0.
static run masked_run(global const float *row, const int x, const int width) {
  if (x <= -(int)(sizeof(run) / 4) || x >= width)
    return 0.0f;
#if LANES == 16
  const int16 lanes = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) + x;
  const run v = vload16(0, row + x);
  return x >= 0 && x + 16 <= width ? v : select((run)(0.0f), v, lanes >= 0 && lanes < (int16)(width));
#else
  return row[x];
#endif
}

// The adjoint of im2col, as a gather, for channels [firstChannel, firstChannel + channels) of all images:
//   dx[image, c, y, x] = bias[c] + sum over (ky, kx) of columns[(c, ky, kx), (image, oy, ox)]
// where oy * stride - padding + ky * dilation = y, likewise x. columns is row-major,
// [channels * kh * kw][images * outHeight * outWidth], from `slack` elements into its buffer, with as many after its
// end: vectors may reach 16 elements beyond a row, and what lies there is masked out.
// In a row of dx the x of one phase x % stride read neighbouring ox. Rows: height; planes: channels * images.
kernel void col2im(global const float *restrict columns, global const float *restrict bias, global float *restrict dx,
                   const Convolution conv, const uint firstChannel, const uint channels, const uint slack, const uint hasBias) {
  const uint y = ROW_ID;
  const uint local_ = PLANE_ID % channels;
  const uint image = PLANE_ID / channels;
  if (y >= conv.height || image >= conv.batch)
    return;
  const uint area = conv.outHeight * conv.outWidth;
  const float offset = hasBias ? bias[firstChannel + local_] : 0.0f;
  global float *to = dx + ((image * conv.channels + firstChannel + local_) * conv.height + y) * conv.width;
  for (uint phase = FIRST_X % conv.stride; phase < end_phase(conv.stride); ++phase) {
    for (uint i0 = FIRST_X / conv.stride; i0 * conv.stride + phase < end_x(conv.width); i0 += LANES) {
      run sum = offset;
      for (uint ky = 0; ky < conv.kernelHeight; ++ky) {
        const int ty = (int)(y + conv.padding) - (int)(ky * conv.dilation);
        const int oy = floor_divided(ty, (int)conv.stride);
        if (ty < 0 || oy * (int)conv.stride != ty || oy >= (int)conv.outHeight)
          continue;
        for (uint kx = 0; kx < conv.kernelWidth; ++kx) {
          // ox = (x + padding - kx * dilation) / stride for x = i * stride + phase: i plus a constant, or never whole.
          const int tx = (int)(phase + conv.padding) - (int)(kx * conv.dilation);
          const int shift = floor_divided(tx, (int)conv.stride);
          if (shift * (int)conv.stride != tx)
            continue;
          const int first = (int)i0 + shift;
          const uint row = (local_ * conv.kernelHeight + ky) * conv.kernelWidth + kx;
          sum += masked_run(columns + slack + (row * conv.batch + image) * area + oy * (int)conv.outWidth, first,
                            (int)conv.outWidth);
        }
      }
      store_phase(to, sum, i0, conv.stride, phase, conv.width);
    }
  }
}

// Grouped convolution (depthwise above all):
//   y[image, co, oy, ox] = bias[co] + sum over the group's (ci, ky, kx). w is [outChannels][channels / groups][kh][kw].
// Rows: outHeight; planes: outChannels * images.
kernel void conv2d_grouped(global const float *restrict x, global const float *restrict w, global float *restrict y,
                           const Convolution conv, EPILOGUE_ARGUMENTS) {
  const uint oy = ROW_ID;
  const uint co = PLANE_ID % conv.outChannels;
  const uint image = PLANE_ID / conv.outChannels;
  if (oy >= conv.outHeight || image >= conv.batch)
    return;
  const uint depth = conv.channels / conv.groups;
  const uint first = co / (conv.outChannels / conv.groups) * depth;
  const long all = (long)conv.batch * conv.channels * conv.height * conv.width;
  global float *to = y + ((image * conv.outChannels + co) * conv.outHeight + oy) * conv.outWidth;
  for (uint ox = FIRST_X; ox < end_x(conv.outWidth); ox += LANES) {
    run sum = BIAS_OF(co);
    const int ix = (int)(ox * conv.stride) - (int)conv.padding;
    // Most runs lie inside the image under every tap.
    const int isInside =
        conv.stride == 1 && ix >= 0 && ix + (int)((conv.kernelWidth - 1) * conv.dilation + sizeof(run) / 4) <= (int)conv.width;
    for (uint ci = 0; ci < depth; ++ci) {
      global const float *plane = x + (image * conv.channels + first + ci) * conv.height * conv.width;
      global const float *tap = w + (co * depth + ci) * conv.kernelHeight * conv.kernelWidth;
      for (uint ky = 0; ky < conv.kernelHeight; ++ky, tap += conv.kernelWidth) {
        const int iy = (int)(oy * conv.stride + ky * conv.dilation) - (int)conv.padding;
        if (iy < 0 || iy >= (int)conv.height)
          continue;
        global const float *row = plane + iy * (int)conv.width;
        if (isInside) {
          for (uint kx = 0; kx < conv.kernelWidth; ++kx)
            sum = fma((run)(tap[kx]), RUN_INSIDE(row + ix + kx * conv.dilation), sum);
        } else {
          const int isReadable =
              is_readable(ix, ix + (int)((conv.kernelWidth - 1) * conv.dilation), (int)conv.stride, row - x, x + all - row);
          for (uint kx = 0; kx < conv.kernelWidth; ++kx)
            sum = fma((run)(tap[kx]),
                      RUN_AT(row, ix + (int)(kx * conv.dilation), (int)conv.stride, (int)conv.width, isReadable), sum);
        }
      }
    }
    const float rate = SLOPE_OF(co);
    STORE_RUN(RECTIFIED(sum, rate), to + ox, (int)(conv.outWidth - ox));
  }
}

// The input gradient of conv2d_grouped (the forward pass of a grouped transposed convolution, then with a bias):
//   dx[image, ci, y, x] = bias[ci] + sum over the group's (co, ky, kx) that reach it.
// The x of one phase x % stride read neighbouring ox. Rows: height; planes: channels * images.
kernel void conv2d_grouped_input_gradient(global const float *restrict dy, global const float *restrict w,
                                          global float *restrict dx, const Convolution conv, EPILOGUE_ARGUMENTS) {
  const uint y = ROW_ID;
  const uint ci = PLANE_ID % conv.channels;
  const uint image = PLANE_ID / conv.channels;
  if (y >= conv.height || image >= conv.batch)
    return;
  const uint depth = conv.channels / conv.groups;
  const uint outDepth = conv.outChannels / conv.groups;
  const uint group = ci / depth;
  const long all = (long)conv.batch * conv.outChannels * conv.outHeight * conv.outWidth;
  global float *to = dx + ((image * conv.channels + ci) * conv.height + y) * conv.width;
  for (uint phase = FIRST_X % conv.stride; phase < end_phase(conv.stride); ++phase) {
    const int lastShift = floor_divided((int)(phase + conv.padding), (int)conv.stride);
    const int firstShift =
        floor_divided((int)(phase + conv.padding) - (int)((conv.kernelWidth - 1) * conv.dilation), (int)conv.stride);
    for (uint i0 = FIRST_X / conv.stride; i0 * conv.stride + phase < end_x(conv.width); i0 += LANES) {
      run sum = BIAS_OF(ci);
      for (uint o = 0; o < outDepth; ++o) {
        const uint co = group * outDepth + o;
        global const float *plane = dy + (image * conv.outChannels + co) * conv.outHeight * conv.outWidth;
        global const float *tap = w + (co * depth + ci % depth) * conv.kernelHeight * conv.kernelWidth;
        for (uint ky = 0; ky < conv.kernelHeight; ++ky) {
          const int ty = (int)(y + conv.padding) - (int)(ky * conv.dilation);
          const int oy = floor_divided(ty, (int)conv.stride);
          if (ty < 0 || oy * (int)conv.stride != ty || oy >= (int)conv.outHeight)
            continue;
          global const float *row = plane + oy * (int)conv.outWidth;
          const int isReadable = is_readable((int)i0 + firstShift, (int)i0 + lastShift, 1, row - dy, dy + all - row);
          for (uint kx = 0; kx < conv.kernelWidth; ++kx) {
            const int tx = (int)(phase + conv.padding) - (int)(kx * conv.dilation);
            const int shift = floor_divided(tx, (int)conv.stride);
            if (shift * (int)conv.stride != tx)
              continue;
            sum = fma((run)(tap[ky * conv.kernelWidth + kx]), RUN_AT(row, (int)i0 + shift, 1, (int)conv.outWidth, isReadable),
                      sum);
          }
        }
      }
      const float rate = SLOPE_OF(ci);
      store_phase(to, RECTIFIED(sum, rate), i0, conv.stride, phase, conv.width);
    }
  }
}

// The weight gradient of conv2d_grouped: dw[co, ci, ky, kx] = sum over (image, oy, ox) of dy * x.
// One work-item a weight; global size: (channels / groups * kh * kw, outChannels).
kernel void conv2d_grouped_weight_gradient(global const float *restrict x, global const float *restrict dy,
                                           global float *restrict dw, const Convolution conv) {
  const uint k = get_global_id(0);
  const uint co = get_global_id(1);
  const uint depth = conv.channels / conv.groups;
  const uint taps = conv.kernelHeight * conv.kernelWidth;
  if (k >= depth * taps || co >= conv.outChannels)
    return;
  const uint ci = co / (conv.outChannels / conv.groups) * depth + k / taps;
  const int offsetY = (int)(k % taps / conv.kernelWidth * conv.dilation) - (int)conv.padding;
  const int offsetX = (int)(k % taps % conv.kernelWidth * conv.dilation) - (int)conv.padding;
  float sum = 0.0f;
  for (uint image = 0; image < conv.batch; ++image) {
    global const float *plane = x + (image * conv.channels + ci) * conv.height * conv.width;
    global const float *up = dy + (image * conv.outChannels + co) * conv.outHeight * conv.outWidth;
    for (uint oy = 0; oy < conv.outHeight; ++oy) {
      const int iy = (int)(oy * conv.stride) + offsetY;
      if (iy < 0 || iy >= (int)conv.height)
        continue;
      float row = 0.0f;
      for (uint ox = 0; ox < conv.outWidth; ++ox) {
        const int ix = (int)(ox * conv.stride) + offsetX;
        if (ix >= 0 && ix < (int)conv.width)
          row = fma(up[oy * conv.outWidth + ox], plane[iy * (int)conv.width + ix], row);
      }
      sum += row;
    }
  }
  dw[co * depth * taps + k] = sum;
}

// == section: columns ==

// im2col, for processors: a GPU's tiled_conv2d reads the image itself.

// im2col straight into the column panels of gemm_packed: column n = (image, oy, ox), counted from
// firstColumn over the whole batch; depth k = (ci, ky, kx).
//   packed[(n - firstColumn) / NR][k][n % NR] = x[image, ci, oy * stride - padding + ky * dilation, ...]
// or 0 outside the image or beyond `columns`. Global size: (channels, panels).
kernel void im2col_panels(global const float *restrict x, global float *restrict packed, const Convolution conv,
                          const uint firstColumn, const uint columns) {
  const uint ci = get_global_id(0);
  const uint panel = get_global_id(1);
  if (ci >= conv.channels || panel >= (columns + NR - 1) / NR)
    return;
  const uint taps = conv.kernelHeight * conv.kernelWidth;
  global float *to = packed + ((ulong)panel * conv.channels + ci) * taps * NR;
  int y0[NR], x0[NR], base[NR];
  int sameRow = 1;
  for (uint j = 0; j < NR; ++j) {
    const uint local_ = panel * NR + j;
    const uint n = firstColumn + local_;
    const uint image = n / (conv.outHeight * conv.outWidth);
    const uint pixel = n % (conv.outHeight * conv.outWidth);
    const int inside = local_ < columns;
    // A row far above the image: every bounds check below fails, so the lane reads as zero.
    y0[j] = inside ? (int)(pixel / conv.outWidth * conv.stride) - (int)conv.padding : -1000000;
    x0[j] = (int)(pixel % conv.outWidth * conv.stride) - (int)conv.padding;
    base[j] = inside ? (int)((image * conv.channels + ci) * conv.height * conv.width) : 0;
    sameRow &= y0[j] == y0[0] && base[j] == base[0];
  }
  for (uint ky = 0; ky < conv.kernelHeight; ++ky) {
    for (uint kx = 0; kx < conv.kernelWidth; ++kx) {
      const int dy = (int)(ky * conv.dilation), dx = (int)(kx * conv.dilation);
      const int left = x0[0] + dx;
      if (sameRow && conv.stride <= 2 && y0[0] + dy >= 0 && y0[0] + dy < (int)conv.height && left >= 0 &&
          left + (int)(NR * conv.stride) <= (int)conv.width) {
        global const float *from = x + base[0] + (y0[0] + dy) * (int)conv.width + left;
        if (conv.stride == 1) {
          STORE16(vload16(0, from), to);
        } else {
          const float16 p = vload16(0, from), q = vload16(1, from);
          STORE16((float16)(p.even, q.even), to);
        }
      } else {
        for (uint j = 0; j < NR; ++j) {
          const int iy = y0[j] + dy, ix = x0[j] + dx;
          const int inside = iy >= 0 && iy < (int)conv.height && ix >= 0 && ix < (int)conv.width;
          to[j] = inside ? x[base[j] + iy * (int)conv.width + ix] : 0.0f;
        }
      }
      to += NR;
    }
  }
}

// The transpose of im2col, as column panels: column n = (ci, ky, kx), depth k = (image, oy, ox) counted
// from firstPixel; the B matrix of the weight gradient dW = dY . cols^T.
//   packed[n / NR][k - firstPixel][n % NR] = x[image, ci, oy * stride - padding + ky * dilation, ...]
// One work-item a run of `run` pixels of a panel. Global size: (ceil(pixels / run), panels).
kernel void im2col_transposed_panels(global const float *restrict x, global float *restrict packed, const Convolution conv,
                                     const uint firstPixel, const uint pixels, const uint run) {
  const uint start = get_global_id(0) * run;
  const uint panel = get_global_id(1);
  const uint taps = conv.kernelHeight * conv.kernelWidth;
  const uint columns = conv.channels * taps;
  if (start >= pixels || panel >= (columns + NR - 1) / NR)
    return;
  int dy[NR], dx[NR], offset[NR];
  for (uint j = 0; j < NR; ++j) {
    const uint n = panel * NR + j;
    const int inside = n < columns;
    const uint tap = n % taps;
    dy[j] = inside ? (int)(tap / conv.kernelWidth * conv.dilation) : -1000000;
    dx[j] = (int)(tap % conv.kernelWidth * conv.dilation);
    offset[j] = inside ? (int)((n / taps) * conv.height * conv.width) + dy[j] * (int)conv.width + dx[j] : 0;
  }
  const uint end = min(pixels, start + run);
  const int reachY = (int)((conv.kernelHeight - 1) * conv.dilation), reachX = (int)((conv.kernelWidth - 1) * conv.dilation);
  // Lanes in runs of four neighbours: whole rows of a 4-wide kernel.
  const int runsOfFour = conv.kernelWidth == 4 && conv.dilation == 1;
  const int fullPanel = (panel + 1) * NR <= columns;
  for (uint k = start; k < end; ++k) {
    const uint pixel = firstPixel + k;
    const uint image = pixel / (conv.outHeight * conv.outWidth);
    const uint within = pixel % (conv.outHeight * conv.outWidth);
    const int y0 = (int)(within / conv.outWidth * conv.stride) - (int)conv.padding;
    const int x0 = (int)(within % conv.outWidth * conv.stride) - (int)conv.padding;
    const int base = (int)(image * conv.channels * conv.height * conv.width) + y0 * (int)conv.width + x0;
    global float *to = packed + ((ulong)panel * pixels + k) * NR;
    if (fullPanel && y0 >= 0 && x0 >= 0 && y0 + reachY < (int)conv.height && x0 + reachX < (int)conv.width) {
      if (runsOfFour) {
        for (uint j = 0; j < NR; j += 4)
          vstore4(vload4(0, x + base + offset[j]), 0, to + j);
      } else {
        for (uint j = 0; j < NR; ++j)
          to[j] = x[base + offset[j]];
      }
      continue;
    }
    for (uint j = 0; j < NR; ++j) {
      const int iy = y0 + dy[j], ix = x0 + dx[j];
      const int inside = iy >= 0 && iy < (int)conv.height && ix >= 0 && ix < (int)conv.width;
      to[j] = inside ? x[base + offset[j]] : 0.0f;
    }
  }
}

// == section: direct ==

// Vectors of what a register holds.
#if VECTOR_LANES == 16
typedef float16 direct_lanes;
#define DIRECT_LOAD(P) vload16(0, P)
#define DIRECT_STORE(V, P) STORE16(V, P)
#define DIRECT_FOLD(V) ((V).lo + (V).hi)
#else
typedef float8 direct_lanes;
#define DIRECT_LOAD(P) vload8(0, P)
#define DIRECT_STORE(V, P) vstore8(V, 0, P)
#define DIRECT_FOLD(V) (V)
#endif

// A strip of rows of padded planes, for conv2d_direct: y[plane, r, c] = x[firstPlane + plane, r - top, c - left], 0
// outside; outWidth is a multiple of RUN, the columns of a work-item. Global size: (outWidth / RUN, outHeight, planes).
kernel void pad_planes(global const float *restrict x, global float *restrict y, const uint firstPlane, const uint planes,
                       const uint height, const uint width, const uint outHeight, const uint outWidth, const int top,
                       const int left) {
  const uint c = get_global_id(0) * RUN;
  const uint r = get_global_id(1);
  const uint plane = get_global_id(2);
  if (c >= outWidth || r >= outHeight || plane >= planes)
    return;
  const int iy = (int)r - top, ix = (int)c - left;
  global float *to = y + (plane * outHeight + r) * outWidth + c;
  if (iy < 0 || iy >= (int)height) {
    for (int j = 0; j < RUN; ++j)
      to[j] = 0.0f;
    return;
  }
  global const float *from = x + ((firstPlane + plane) * height + iy) * width;
  if (ix >= 0 && ix + RUN <= (int)width) {
    for (int j = 0; j < RUN; ++j)
      to[j] = from[ix + j];
  } else {
    for (int j = 0; j < RUN; ++j)
      to[j] = row_element(from, ix + j, (int)width);
  }
}

// The first `count` lanes of v into a row: all of them at most, none where it is not positive.
static void direct_store(global float *to, const direct_lanes v, const int count) {
  if (count >= VECTOR_LANES) {
    DIRECT_STORE(v, to);
    return;
  }
  const float *lane = (const float *)&v;
  for (int j = 0; j < count; ++j)
    to[j] = lane[j];
}

// weights[tile][ci][tap][r] = w[(tile * tileRows + r), ci, tap] by strides (tap reversed when flipped), for
// conv2d_direct. Global size: (channels * taps, tiles).
kernel void pack_direct_weights(global const float *restrict w, global float *restrict packed, const uint outChannels,
                                const uint channels, const uint taps, const uint outStride, const uint channelStride,
                                const uint flipped, const uint tileRows) {
  const uint k = get_global_id(0);
  const uint tile = get_global_id(1);
  if (k >= channels * taps || tile * tileRows >= outChannels)
    return;
  const uint ci = k / taps;
  const uint tap = flipped ? taps - 1 - k % taps : k % taps;
  for (uint r = 0; r < tileRows; ++r) {
    const uint co = tile * tileRows + r;
    packed[(tile * channels * taps + k) * tileRows + r] =
        co < outChannels ? w[co * outStride + ci * channelStride + tap] : 0.0f;
  }
}

// The elements of a row from x on, 0 outside it.
static direct_lanes direct_row(global const float *row, const uint x, const uint width) {
  if (x + VECTOR_LANES <= width)
    return DIRECT_LOAD(row + x);
  direct_lanes lanes;
  float *lane = (float *)&lanes;
  for (uint j = 0; j < VECTOR_LANES; ++j)
    lane[j] = x + j < width ? row[x + j] : 0.0f;
  return lanes;
}

// The weight gradient of a stride-1 convolution from padded planes, for kernels too large for im2col:
//   partial[image, co, ci, ky, kx] = sum over (oy, ox) of dy[image, co, oy, ox] * padded[image, ci, oy + ky * dilation, ...]
// One work-item makes a row of taps (ci, ky) of three output channels for one image, the pixels of a vector being the
// lanes of its 3 * DIRECT_COLUMNS accumulators. padded is [images][channels][paddedHeight][pitch] as in conv2d_direct.
// Global size: (channels * kernelHeight, ceil(outChannels / 3) * ceil(kernelWidth / DIRECT_COLUMNS), images).
kernel void conv2d_direct_weight_gradient(global const float *restrict padded, global const float *restrict dy,
                                          global float *restrict partial, const Convolution conv, const uint paddedHeight,
                                          const uint pitch, const uint firstImage, const uint images) {
  const uint ci = get_global_id(0) / conv.kernelHeight;
  const uint ky = get_global_id(0) % conv.kernelHeight;
  const uint tiles = (conv.outChannels + 2) / 3;
  const uint co = get_global_id(1) % tiles * 3;
  const uint kx0 = get_global_id(1) / tiles * DIRECT_COLUMNS;
  const uint image = get_global_id(2);
  if (ci >= conv.channels || kx0 >= conv.kernelWidth || image >= images)
    return;
  direct_lanes sum[3 * DIRECT_COLUMNS];
#pragma unroll
  for (uint i = 0; i < 3 * DIRECT_COLUMNS; ++i)
    sum[i] = 0.0f;
  // Columns beyond the kernel, and channels beyond the last, read the last one's and are not stored.
  const uint last = min((uint)DIRECT_COLUMNS, conv.kernelWidth - kx0) - 1;
  const uint plane = conv.outHeight * conv.outWidth;
  global const float *up = dy + ((firstImage + image) * conv.outChannels + co) * plane;
  const uint second = min(1u, conv.outChannels - 1 - co) * plane, third = min(2u, conv.outChannels - 1 - co) * plane;
  for (uint oy = 0; oy < conv.outHeight; ++oy) {
    global const float *row =
        padded + ((image * conv.channels + ci) * paddedHeight + oy + ky * conv.dilation) * pitch + kx0 * conv.dilation;
    global const float *a0 = up + oy * conv.outWidth, *b0 = a0 + second, *c0 = a0 + third;
    for (uint ox = 0; ox < conv.outWidth; ox += VECTOR_LANES) {
      const direct_lanes a = direct_row(a0, ox, conv.outWidth), b = direct_row(b0, ox, conv.outWidth),
                         c = direct_row(c0, ox, conv.outWidth);
#pragma unroll
      for (uint kx = 0; kx < DIRECT_COLUMNS; ++kx) {
        const direct_lanes pixels = DIRECT_LOAD(row + ox + min(kx, last) * conv.dilation);
        sum[kx] = fma(a, pixels, sum[kx]);
        sum[DIRECT_COLUMNS + kx] = fma(b, pixels, sum[DIRECT_COLUMNS + kx]);
        sum[2 * DIRECT_COLUMNS + kx] = fma(c, pixels, sum[2 * DIRECT_COLUMNS + kx]);
      }
    }
  }
#pragma unroll
  for (uint r = 0; r < 3; ++r) {
#pragma unroll
    for (uint kx = 0; kx < DIRECT_COLUMNS; ++kx) {
      const float8 h = DIRECT_FOLD(sum[r * DIRECT_COLUMNS + kx]);
      const float4 q = h.lo + h.hi;
      if (co + r < conv.outChannels && kx <= last)
        partial[((((ulong)(firstImage + image) * conv.outChannels + co + r) * conv.channels + ci) * conv.kernelHeight + ky) *
                    conv.kernelWidth +
                kx0 + kx] = (q.s0 + q.s2) + (q.s1 + q.s3);
    }
  }
}

// == section: direct_kernel ==

// conv2d_direct_ROWS: stride-1 convolution of a padded strip, for kernels too large or outputs too thin for im2col:
//   y[image, co, oy, ox] = bias[co] + sum over (ci, ky, kx) of w * padded[image, ci, oy - firstRow + ky * dilation, ...]
// for `rows` rows from firstRow on. padded is [images][channels][paddedHeight][pitch], its pitch reaching a whole tile past
// the last pixel; weights is [ceil(outChannels / ROWS)][channels][kh][kw][ROWS] (zero rows at the end). One work-item
// makes ROWS channels x VECTORS vectors of pixels of a row in ROWS * VECTORS accumulators.
// Neighbouring work-items are neighbouring rows, which share most of what they read.
// Global size: (rows, ceil(outWidth / (VECTOR_LANES * VECTORS)), ceil(outChannels / ROWS) * images).
kernel void KERNEL(global const float *restrict padded, global const float *restrict weights, global float *restrict y,
                   const Convolution conv, const uint paddedHeight, const uint pitch, const uint firstRow, const uint rows,
                   EPILOGUE_ARGUMENTS) {
  const uint row = get_global_id(0);
  const uint x0 = get_global_id(1) * VECTOR_LANES * VECTORS;
  const uint tiles = (conv.outChannels + ROWS - 1) / ROWS;
  const uint tile = get_global_id(2) % tiles;
  const uint image = get_global_id(2) / tiles;
  if (x0 >= conv.outWidth || row >= rows || image >= conv.batch)
    return;
  direct_lanes sum[ROWS * VECTORS];
#pragma unroll
  for (uint i = 0; i < ROWS * VECTORS; ++i)
    sum[i] = 0.0f;
  global const float *w = weights + tile * conv.channels * conv.kernelHeight * conv.kernelWidth * ROWS;
  for (uint ci = 0; ci < conv.channels; ++ci) {
    for (uint ky = 0; ky < conv.kernelHeight; ++ky) {
      global const float *from = padded + ((image * conv.channels + ci) * paddedHeight + row + ky * conv.dilation) * pitch + x0;
      for (uint kx = 0; kx < conv.kernelWidth; ++kx, from += conv.dilation) {
#pragma unroll
        for (uint v = 0; v < VECTORS; ++v) {
          const direct_lanes pixels = DIRECT_LOAD(from + v * VECTOR_LANES);
#pragma unroll
          for (uint r = 0; r < ROWS; ++r)
            sum[r * VECTORS + v] = fma((direct_lanes)(w[r]), pixels, sum[r * VECTORS + v]);
        }
        w += ROWS;
      }
    }
  }
#pragma unroll
  for (uint r = 0; r < ROWS; ++r) {
    const uint co = tile * ROWS + r;
    if (co < conv.outChannels) {
      const float offset = BIAS_OF(co), rate = SLOPE_OF(co);
      global float *to = y + ((image * conv.outChannels + co) * conv.outHeight + firstRow + row) * conv.outWidth + x0;
#pragma unroll
      for (uint v = 0; v < VECTORS; ++v)
        direct_store(to + VECTOR_LANES * v, RECTIFIED(sum[r * VECTORS + v] + offset, rate),
                     (int)(conv.outWidth - x0) - VECTOR_LANES * (int)v);
    }
  }
}

// == section: tiles ==

// What the Winograd kernels share. An output (for the strided transposed convolution, one phase of it) is cut into tiles of
// 4x4, counted over (image, tile row, tile column) with `pitch` tiles a row. Sixteen tiles are the lanes of a vector and the
// columns of a GEMM panel; the transforms work on such vectors, one channel at a time. Where pitch is a multiple of 4, four
// neighbouring lanes (a quad) are four neighbouring tiles of one row, whose columns are read as whole vectors and dealt out
// by swizzles. Narrow images have any pitch, and go lane by lane. On a GPU (LANES 1) each lane is a work-item of its own,
// neighbours in the first axis of the global size, and a vec is a float. What belongs to a point lies SPACED apart from the
// next point's, in packed weights, inputs and gradients; in products the points of a tile lie together.
//
// There are two kinds of tile, F(4x4, 3x3) and F(4x4, 2x2), explained where their sections begin. A function of both takes how
// many `points` a tile has along an axis, 6 or 5: a constant wherever it is called, so that no choice is left in what is
// compiled.
//
// Transforms of registers are unrolled; what reads or stores a row is not on a processor (ROWS_APART): it is long, and
// compiling it once a row made a first run seconds longer. On a GPU all is, and every function is inlined for certain
// (ROW_FUNCTION), or arrays would lie in memory; and what need not be in registers together is made one after the other. None of the
// shared functions' pointers is restrict: what that becomes when it is inlined, oclgrind does not know.

// Where lane `lane` of a panel is: s0 the image (-1 beyond the last), s1 the tile row, s2 the tile column.
static int4 tile_of(const uint panel, const uint lane, const Tiling tiling) {
  const uint n = panel * NR + lane;
  const uint image = n / (tiling.rows * tiling.pitch);
  const uint rest = n % (tiling.rows * tiling.pitch);
  return (int4)(image < tiling.images ? (int)image : -1, (int)(rest / tiling.pitch), (int)(rest % tiling.pitch), 0);
}

// LOAD and STORE: vector I of an array [][NR] in global memory, P being moved to the work-item's lane. OWN and SET_OWN:
// vector I of a private array own[][LANES].
#if LANES == 16
typedef float16 vec;
#define LOAD(I, P) vload16(I, P)
#define STORE(V, I, P) STORE16(V, (P) + 16 * (I))
#define ROWS_APART _Pragma("unroll 1")
#define ROW_FUNCTION static
#define OWN(I) vload16(I, own)
#define SET_OWN(I, V) vstore16(V, I, own)
#else
typedef float vec;
#define LOAD(I, P) (P)[(I)*NR]
#define STORE(V, I, P) (P)[(I)*NR] = (V)
#define ROWS_APART _Pragma("unroll")
#define ROW_FUNCTION INLINED
#define OWN(I) own[I]
#define SET_OWN(I, V) own[I] = (V)
#endif
#define LANE_ITEMS (NR / LANES) // work-items of a panel

// Stores a vector of one of many planes. The next work-items write the lines that follow it.
INLINED void store_point(const vec v, global float *to) {
  WILL_WRITE(to + 2 * NR);
  STORE(v, 0, to);
}

// The `count` (9 or 16) taps of the LANES filters first, first + 1, ... of a row panel, as vectors of filters: lane j is
// (k, row) = ((first + j) / MR, (first + j) % MR) of the panel, its taps at w[row * rowStride + k * depthStride]. Whole
// filters are loaded and transposed in registers. Lanes beyond the depth or the rows repeat the last: nobody reads what
// comes of them.
INLINED void filter_taps(vec *taps, const uint count, global const float *w, const uint first, const uint panel,
                         const uint rows, const uint depth, const uint rowStride, const uint depthStride) {
#if LANES == 16
  global const float *from[16];
#pragma unroll
  for (uint j = 0; j < 16; ++j) {
    from[j] = w + min(panel * MR + (first + j) % MR, rows - 1) * rowStride + min((first + j) / MR, depth - 1) * depthStride;
    WILL_READ(from[j] + 3 * depthStride); // by the next work-item
  }
  if (count == 16) {
#pragma unroll
    for (uint j = 0; j < 16; ++j)
      taps[j] = vload16(0, from[j]);
    transpose(taps, 16);
  } else {
    // Two filters' first eight taps fill a vector.
    vec v[8];
    float last[16];
#pragma unroll
    for (uint j = 0; j < 8; ++j) {
      v[j] = (vec)(vload8(0, from[j]), vload8(0, from[j + 8]));
      last[j] = from[j][8], last[j + 8] = from[j + 8][8];
    }
    transpose(v, 8);
#pragma unroll
    for (uint t = 0; t < 4; ++t) {
      taps[2 * t] = (vec)(v[t].lo, v[t + 4].lo);
      taps[2 * t + 1] = (vec)(v[t].hi, v[t + 4].hi);
    }
    taps[8] = vload16(0, last);
  }
#else
  global const float *from = w + min(panel * MR + first % MR, rows - 1) * rowStride + min(first / MR, depth - 1) * depthStride;
#pragma unroll
  for (uint t = 0; t < count; ++t)
    taps[t] = from[t];
#endif
}

#define DEAL(V, KEEP) (vec)(V[0].KEEP, V[1].KEEP, V[2].KEEP, V[3].KEEP)

// The columns 4 * phases * tile column - 1 + shift + k of one row under one lane's tile: row 4 * phases * tile row + dy of
// channel ci of x, 0 outside the image. Six for one phase; ten for two, five of phase 0 (k even), then five of phase 1.
// column[i * step] gets the i-th.
ROW_FUNCTION void lane_columns(float *column, const uint step, global const float *x, const uint panel, const uint lane,
                               const Tiling tiling, const uint ci, const int phases, const int dy, const int shift) {
  const int4 at = tile_of(panel, lane, tiling);
  const int y = at.s1 * 4 * phases + dy, x0 = at.s2 * 4 * phases - 1 + shift;
  const int inside = at.s0 >= 0 && y >= 0 && y < (int)tiling.height;
  global const float *row =
      x + (inside ? ((at.s0 * (int)tiling.channels + (int)ci) * (int)tiling.height + y) * (int)tiling.width : 0);
  const int each = phases == 1 ? 6 : 5;
  ROWS_APART
  for (int k = 0; k < each * phases; ++k)
    column[(k % phases * each + k / phases) * (int)step] = inside ? row_element(row, x0 + k, (int)tiling.width) : 0.0f;
}

// Stores value[k * step], k in 0 ..< 4 * phases, as the columns 4 * phases * tile column + k of row 4 * phases * tile row + i
// under one lane's tile.
ROW_FUNCTION void store_lane(global float *y, const float *value, const uint step, const uint panel, const uint lane,
                             const Tiling tiling, const uint co, const int phases, const int i) {
  const int4 at = tile_of(panel, lane, tiling);
  const int oy = at.s1 * 4 * phases + i, x0 = at.s2 * 4 * phases;
  if (at.s0 < 0 || oy >= (int)tiling.height)
    return;
  global float *to = y + ((at.s0 * (int)tiling.channels + (int)co) * (int)tiling.height + oy) * (int)tiling.width + x0;
  ROWS_APART
  for (int k = 0; k < 4 * phases; ++k)
    if (x0 + k < (int)tiling.width)
      to[k] = value[k * (int)step];
}

// The first `count` of four values into a row. Of a vector: of an array, compilers join the stores and it then has an index.
INLINED void store_four(global float *to, const float4 v, const int count) {
  if (count >= 4) {
    vstore4(v, 0, to);
    return;
  }
  if (count > 0)
    to[0] = v.s0;
  if (count > 1)
    to[1] = v.s1;
  if (count > 2)
    to[2] = v.s2;
}

// Elements of an image from the first of channel ci's row y on.
static long image_rest(const Tiling tiling, const uint ci, const int y) {
  return ((long)(tiling.channels - ci) * tiling.height - y) * tiling.width;
}

// Columns 4 * tile column - 1 + k, k in 0 ..< 6, of one row under the sixteen tiles of a panel: row 4 * tile row + dy of
// channel ci of x, 0 outside the image. `shift` moves the columns to the right.
ROW_FUNCTION void six_columns(vec column[6], global const float *x, const uint panel, const uint lane, const Tiling tiling,
                              const uint ci, const int dy, const int shift) {
#if LANES == 16
  if (tiling.pitch % 4 == 0) {
    vec a[4];
    float left[4], right[4];
#pragma unroll
    for (uint q = 0; q < 4; ++q) {
      const int4 at = tile_of(panel, 4 * q, tiling);
      const int y = at.s1 * 4 + dy, x0 = at.s2 * 4 + shift;
      a[q] = 0.0f;
      left[q] = right[q] = 0.0f;
      if (at.s0 >= 0 && y >= 0 && y < (int)tiling.height) {
        global const float *row = x + ((at.s0 * (int)tiling.channels + (int)ci) * (int)tiling.height + y) * (int)tiling.width;
        WILL_READ(row + x0 + (int)tiling.height * (int)tiling.width); // by the next channel's work-item
        a[q] = row_lanes(row, x0, 1, (int)tiling.width, is_readable(x0, x0, 1, 0, image_rest(tiling, ci, y)));
        left[q] = row_element(row, x0 - 1, (int)tiling.width);
        right[q] = row_element(row, x0 + 16, (int)tiling.width);
      }
    }
    column[0] = (vec)(left[0], a[0].s37b, left[1], a[1].s37b, left[2], a[2].s37b, left[3], a[3].s37b);
    column[1] = DEAL(a, s048c);
    column[2] = DEAL(a, s159d);
    column[3] = DEAL(a, s26ae);
    column[4] = DEAL(a, s37bf);
    column[5] = (vec)(a[0].s48c, right[0], a[1].s48c, right[1], a[2].s48c, right[2], a[3].s48c, right[3]);
  } else {
    float own[6 * LANES];
    for (uint j = 0; j < NR; ++j)
      lane_columns(own + j, LANES, x, panel, j, tiling, ci, 1, dy, shift);
#pragma unroll
    for (uint k = 0; k < 6; ++k)
      column[k] = OWN(k);
  }
#else
  lane_columns(column, 1, x, panel, lane, tiling, ci, 1, dy, shift);
#endif
}

// Elements (4 * tile column + k, 4 * tile row + i) of an output under the sixteen tiles: value[k], k in 0 ..< 4, is stored.
ROW_FUNCTION void store_tile_row(global float *y, vec value[4], const uint panel, const uint lane, const Tiling tiling,
                                 const uint co, const int i) {
#if LANES == 16
  if (tiling.pitch % 4 == 0) {
    transpose(value, 4); // to sixteen pixels of each quad
#pragma unroll
    for (uint q = 0; q < 4; ++q) {
      const int4 at = tile_of(panel, 4 * q, tiling);
      const int oy = at.s1 * 4 + i;
      if (at.s0 < 0 || oy >= (int)tiling.height)
        continue;
      store_lanes(y + ((at.s0 * (int)tiling.channels + (int)co) * (int)tiling.height + oy) * (int)tiling.width + at.s2 * 4,
                  value[q], (int)tiling.width - at.s2 * 4);
    }
  } else {
    float own[4 * LANES];
#pragma unroll
    for (uint k = 0; k < 4; ++k)
      SET_OWN(k, value[k]);
    for (uint j = 0; j < NR; ++j)
      store_lane(y, own + j, LANES, panel, j, tiling, co, 1, i);
  }
#else
  const int4 at = tile_of(panel, lane, tiling);
  const int oy = at.s1 * 4 + i, x0 = at.s2 * 4;
  if (at.s0 >= 0 && oy < (int)tiling.height)
    store_four(y + ((at.s0 * (int)tiling.channels + (int)co) * (int)tiling.height + oy) * (int)tiling.width + x0,
               (float4)(value[0], value[1], value[2], value[3]), (int)tiling.width - x0);
#endif
}

// The first `count` lanes of v into an array.
static void store_some(global float *to, const vec v, const int count) {
#if LANES == 16
  store_lanes(to, v, count);
#else
  if (count > 0)
    *to = v;
#endif
}

// One pass of G over the vectors g[0], g[step], ... of taps: three to six points, or two to five.
INLINED void filter_points(vec *out, const vec *g, const uint step, const uint points) {
  const vec g0 = g[0], g1 = g[step];
  if (points == 6) {
    const vec g2 = g[2 * step];
    const vec p = (-1.0f / 6.0f) * (g0 + g2), q = (1.0f / 6.0f) * g1;
    const vec s = fma((vec)(1.0f / 24.0f), g0, (1.0f / 6.0f) * g2), t = (1.0f / 12.0f) * g1;
    out[0] = 0.25f * g0;
    out[1] = p - q;
    out[2] = p + q;
    out[3] = s + t;
    out[4] = s - t;
    out[5] = g2;
  } else {
    out[0] = 0.5f * g0;
    out[1] = -0.5f * (g0 + g1);
    out[2] = (1.0f / 6.0f) * (g1 - g0);
    out[3] = fma((vec)(1.0f / 3.0f), g1, (1.0f / 6.0f) * g0);
    out[4] = g1;
  }
}

// Stores the points of filters, `plane` apart: their first `count` lanes, where there are fewer than LANES. h has G g, its rows
// of as many taps as a filter's one behind the other. A row of points is made just before it is stored: all of them at once
// would not fit into registers.
INLINED void store_filter_points(global float *to, const vec *h, const ulong plane, const int count, const uint points) {
  const uint taps = points - 3;
  if (count >= LANES) {
#pragma unroll
    for (uint i = 0; i < points; ++i) {
      vec out[6];
      filter_points(out, h + taps * i, 1, points);
#pragma unroll
      for (uint j = 0; j < points; ++j)
        store_point(out[j], to + (points * i + j) * plane);
    }
  } else {
    ROWS_APART
    for (uint i = 0; i < points; ++i) {
      vec out[6];
      filter_points(out, h + taps * i, 1, points);
      ROWS_APART
      for (uint j = 0; j < points; ++j)
        store_some(to + (points * i + j) * plane, out[j], count);
    }
  }
}

// One pass of A^T over the products m[0], m[1], ... of a row or column.
INLINED void output_points(vec *out, const vec *m, const uint points) {
  const vec p = m[1] + m[2], q = m[1] - m[2];
  // Of 2 and -2; five points have no -2.
  const vec s = points == 6 ? m[3] + m[4] : m[3], t = points == 6 ? m[3] - m[4] : m[3];
  out[0] = m[0] + p + s;
  out[1] = fma((vec)(2.0f), t, q);
  out[2] = fma((vec)(4.0f), s, p);
  out[3] = fma((vec)(8.0f), t, q) + m[points - 1];
}

// The 4x4 tile of outputs A^T m A of points * points products: tile[4 * row + column].
ROW_FUNCTION void output_tile(vec tile[16], global const float *from, const uint points) {
  vec rows[4 * 6];
#pragma unroll
  for (uint k = 0; k < points; ++k) {
    vec m[6], out[4];
#pragma unroll
    for (uint i = 0; i < points; ++i)
      m[i] = LOAD(i * points + k, from);
    output_points(out, m, points);
#pragma unroll
    for (uint i = 0; i < 4; ++i)
      rows[i * points + k] = out[i];
  }
#pragma unroll
  for (uint i = 0; i < 4; ++i)
    output_points(tile + 4 * i, rows + i * points, points);
}

// The kernels winograd_output and winograd_strided_output.
INLINED void store_outputs(global const float *products, global float *y, const Tiling tiling, const uint points,
                           EPILOGUE_ARGUMENTS) {
  const uint panel = get_global_id(0) / LANE_ITEMS, lane = get_global_id(0) % LANE_ITEMS;
  const uint co = get_global_id(1);
  if (panel >= tiling.panels || co >= tiling.channels)
    return;
  vec tile[16];
  global const float *from = products + ((ulong)panel * tiling.channels + co) * points * points * NR + lane;
  // What the next work-item reads.
  for (uint k = 0; k < points * points; ++k)
    WILL_READ(from + (tiling.channels * points * points + k) * NR);
  output_tile(tile, from, points);
  const float offset = BIAS_OF(co), rate = SLOPE_OF(co);
  ROWS_APART
  for (uint i = 0; i < 4; ++i) {
#pragma unroll
    for (uint k = 0; k < 4; ++k)
      tile[4 * i + k] = RECTIFIED(tile[4 * i + k] + offset, rate);
    store_tile_row(y, tile + 4 * i, tiling.firstPanel + panel, lane, tiling, co, (int)i);
  }
}

// == section: winograd ==

// A dilated convolution is one of dilation 1 on each of the images of every dilation-th pixel, its phases:
//   y[phase * planes + plane, i, j] = x[plane, i * dilation + phase / dilation, j * dilation + phase % dilation],
// 0 beyond x. rows and columns are those of a phase. A work-item takes RUN neighbours of a row.
// Global size: (ceil(columns / RUN), rows, planes * dilation * dilation).
kernel void split_phases(global const float *restrict x, global float *restrict y, const uint planes, const uint height,
                         const uint width, const uint rows, const uint columns, const uint dilation) {
  const uint j0 = get_global_id(0) * RUN, i = get_global_id(1);
  const uint plane = get_global_id(2) % planes, phase = get_global_id(2) / planes;
  if (j0 >= columns || i >= rows || phase >= dilation * dilation)
    return;
  const uint iy = i * dilation + phase / dilation;
  global const float *from = x + (plane * height + iy) * width;
  global float *to = y + ((phase * planes + plane) * rows + i) * columns;
  for (uint j = j0; j < min(j0 + RUN, columns); ++j) {
    const uint ix = j * dilation + phase % dilation;
    to[j] = iy < height && ix < width ? from[ix] : 0.0f;
  }
}

// The inverse: y[plane, oy, ox] from the phases in x. Global size: (ceil(width / RUN), height, planes).
kernel void join_phases(global const float *restrict x, global float *restrict y, const uint planes, const uint height,
                        const uint width, const uint rows, const uint columns, const uint dilation) {
  const uint x0 = get_global_id(0) * RUN, oy = get_global_id(1), plane = get_global_id(2);
  if (x0 >= width || oy >= height || plane >= planes)
    return;
  global float *to = y + (plane * height + oy) * width;
  for (uint ox = x0; ox < min(x0 + RUN, width); ++ox) {
    const uint phase = oy % dilation * dilation + ox % dilation;
    to[ox] = x[((phase * planes + plane) * rows + oy / dilation) * columns + ox / dilation];
  }
}

// Winograd F(4x4, 3x3) (Lavin and Gray, 2016) with interpolation points 0, 1, -1, 2, -2 and infinity: a 6x6 input tile
// d and a 3x3 filter g give a 4x4 output tile A^T [ (G g G^T) . (B^T d B) ] A; the product over channels is 36
// independent GEMMs. 4 times fewer multiplications than the direct form, at a relative error of about 3e-6 in float32.

// U = G g G^T into the row panels of gemm_packed: packed[36][ceil(rows / MR)][depth][MR], where
// g = w[row * rowStride + k * depthStride + tap], taps reversed when flipped. A work-item makes LANES neighbours (k,
// row) of a panel. Global size: (ceil(depth * MR / LANES), rowPanels).
kernel void winograd_weights(global const float *restrict w, global float *restrict packed, const uint rows, const uint depth,
                             const uint rowStride, const uint depthStride, const uint flipped) {
  const uint first = get_global_id(0) * LANES;
  const uint panel = get_global_id(1);
  const uint panels = (rows + MR - 1) / MR;
  if (first >= depth * MR || panel >= panels)
    return;
  vec taps[9];
  filter_taps(taps, 9, w, first, panel, rows, depth, rowStride, depthStride);
  if (flipped)
#pragma unroll
    for (uint t = 0; t < 4; ++t) {
      const vec other = taps[8 - t];
      taps[8 - t] = taps[t];
      taps[t] = other;
    }
  vec h[18];
#pragma unroll
  for (uint j = 0; j < 3; ++j) {
    vec out[6];
    filter_points(out, taps + j, 3, 6);
#pragma unroll
    for (uint i = 0; i < 6; ++i)
      h[3 * i + j] = out[i];
  }
  const uint plane = SPACED(panels * depth * MR);
  global float *to = packed + panel * depth * MR + first;
  const int count = (int)(depth * MR - first);
  store_filter_points(to, h, plane, count, 6);
}

// One pass of B^T over six vectors d[0], d[step], ...
INLINED void input_points(vec *out, const vec *d, const uint step) {
  const vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  const vec p = fma((vec)(-4.0f), d2, d4), q = fma((vec)(-4.0f), d1, d3);
  const vec s = d4 - d2, t = 2.0f * (d3 - d1);
  out[0] = fma((vec)(4.0f), d0, fma((vec)(-5.0f), d2, d4));
  out[1] = p + q;
  out[2] = p - q;
  out[3] = s + t;
  out[4] = s - t;
  out[5] = fma((vec)(4.0f), d1, fma((vec)(-5.0f), d3, d5));
}

// V = B^T d B into column panels: packed[panels][36][channels][NR], for panels from firstPanel on. d is read from x
// with zero padding `padding`. Global size: (channels * LANE_ITEMS, panels).
kernel void winograd_input(global const float *restrict x, global float *restrict packed, const Tiling tiling,
                           const uint padding) {
  const uint ci = get_global_id(0) / LANE_ITEMS, lane = get_global_id(0) % LANE_ITEMS;
  const uint panel = get_global_id(1);
  if (ci >= tiling.channels || panel >= tiling.panels)
    return;
  vec d[36];
  ROWS_APART
  for (uint i = 0; i < 6; ++i) {
    vec column[6];
    six_columns(column, x, tiling.firstPanel + panel, lane, tiling, ci, (int)i - (int)padding, 1 - (int)padding);
    input_points(d + 6 * i, column, 1);
  }
  const uint plane = SPACED(tiling.channels * NR);
  global float *to = packed + (ulong)panel * 36 * plane + ci * NR + lane;
#pragma unroll
  for (uint k = 0; k < 6; ++k) {
    vec out[6];
    input_points(out, d + k, 6);
#pragma unroll
    for (uint i = 0; i < 6; ++i)
      store_point(out[i], to + (i * 6 + k) * plane);
  }
}

// y tile = A^T m A (+ bias), rectified, from products[panels][outChannels][36][NR] of the GEMM back to NCHW; the rows and
// columns of a tile beyond the image are dropped. Global size: (panels * LANE_ITEMS, outChannels).
kernel void winograd_output(global const float *restrict products, global float *restrict y, const Tiling tiling,
                            EPILOGUE_ARGUMENTS) {
  store_outputs(products, y, tiling, 6, bias, slopes, flags, slope);
}

// == section: winograd_strided ==

// A 4x4 convolution of stride 2 and padding 1 is the sum of four 2x2 convolutions of stride 1, one for each phase
// (y % 2, x % 2) of its input; its input gradient has four phases of the output, a 2x2 convolution each. Both by
// Winograd F(4x4, 2x2) with interpolation points 0, 1, -1, 2 and infinity: 25 products for 16 outputs, 2.56 times
// fewer multiplications than the direct form. Tap 2 * a + b is tap a of phase b.

// The filters' points into row panels. Element (row, k) of the matrix has its taps at w[row * rowStride + k *
// depthStride + ky * 4 + kx]. For the convolution the phases are further depth, packed[25][panels][4 * depth][MR];
// for its input gradient (transposed) they are further matrices, packed[4][25][panels][depth][MR]. A work-item makes
// LANES neighbours (k, row) of a panel. Global size: (ceil(depth * MR / LANES), panels).
kernel void winograd_strided_weights(global const float *restrict w, global float *restrict packed, const uint rows,
                                     const uint depth, const uint rowStride, const uint depthStride, const uint transposed) {
  const uint first = get_global_id(0) * LANES;
  const uint panel = get_global_id(1);
  const uint panels = (rows + MR - 1) / MR;
  if (first >= depth * MR || panel >= panels)
    return;
  vec taps[16];
  filter_taps(taps, 16, w, first, panel, rows, depth, rowStride, depthStride);
  const uint wholeDepth = transposed ? depth : 4 * depth;
  const ulong plane = SPACED((ulong)panels * wholeDepth * MR);
  const int count = (int)(depth * MR - first);
  ROWS_APART
  for (uint phase = 0; phase < 4; ++phase) {
    const uint corner = phase / 2 * 4 + phase % 2;
    vec h[10];
#pragma unroll
    for (uint j = 0; j < 2; ++j) {
      vec out[5];
      // Output phase e of the input gradient takes the taps of phase 1 - e, last first.
      const uint upper = corner + 2 * j, lower = upper + 8;
      const vec g[2] = {taps[transposed ? 15 - upper : upper], taps[transposed ? 15 - lower : lower]};
      filter_points(out, g, 1, 5);
#pragma unroll
      for (uint i = 0; i < 5; ++i)
        h[2 * i + j] = out[i];
    }
    global float *to = packed + (transposed ? 25 * phase : 0) * plane +
                       (ulong)(panel * wholeDepth + (transposed ? 0 : phase * depth)) * MR + first;
    store_filter_points(to, h, plane, count, 5);
  }
}

// One pass of B^T over five vectors d[0], d[step], ...
INLINED void phase_input_points(vec *out, const vec *d, const uint step) {
  const vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
  const vec u = d3 - d1, w = d3 - d2;
  out[0] = fma((vec)(2.0f), d0 - d2, u);
  out[1] = fma((vec)(-2.0f), d1, w);
  out[2] = fma((vec)(2.0f), d1 - d2, w);
  out[3] = u;
  out[4] = fma((vec)(-2.0f), u, d4 - d2);
}

// Phases of a row that are transformed together. On a GPU one: of two the points would not fit into registers.
#if LANES == 16
#define PHASES 2
#else
#define PHASES 1
#endif

// Columns 8 * tile column - 1 + phase + k of row 8 * tile row + dy under the sixteen tiles of a panel: for PHASES 2 (phase 0) k
// in 0 ..< 10, five of phase 0 (k even), then five of phase 1; for one, k = 0, 2, ... 8.
ROW_FUNCTION void phase_columns(vec column[5 * PHASES], global const float *x, const uint panel, const uint lane,
                                const Tiling tiling, const uint ci, const int dy, const int phase) {
#if LANES == 16
  if (tiling.pitch % 4 == 0) {
    vec even[4], odd[4];
    float left[4], right[4];
#pragma unroll
    for (uint q = 0; q < 4; ++q) {
      const int4 at = tile_of(panel, 4 * q, tiling);
      const int y = at.s1 * 8 + dy, x0 = at.s2 * 8;
      even[q] = odd[q] = 0.0f;
      left[q] = right[q] = 0.0f;
      if (at.s0 >= 0 && y >= 0 && y < (int)tiling.height) {
        global const float *row = x + ((at.s0 * (int)tiling.channels + (int)ci) * (int)tiling.height + y) * (int)tiling.width;
        WILL_READ(row + x0 + (int)tiling.height * (int)tiling.width); // by the next channel's work-item
        WILL_READ(row + x0 + (int)tiling.height * (int)tiling.width + 16);
        const int isReadable = is_readable(x0, x0 + 16, 1, 0, image_rest(tiling, ci, y));
        const vec v = row_lanes(row, x0, 1, (int)tiling.width, isReadable);
        const vec w = row_lanes(row, x0 + 16, 1, (int)tiling.width, isReadable);
        even[q] = (vec)(v.even, w.even);
        odd[q] = (vec)(v.odd, w.odd);
        left[q] = row_element(row, x0 - 1, (int)tiling.width);
        right[q] = row_element(row, x0 + 32, (int)tiling.width);
      }
    }
    column[0] = (vec)(left[0], odd[0].s37b, left[1], odd[1].s37b, left[2], odd[2].s37b, left[3], odd[3].s37b);
    column[1] = DEAL(odd, s048c);
    column[2] = DEAL(odd, s159d);
    column[3] = DEAL(odd, s26ae);
    column[4] = DEAL(odd, s37bf);
    column[5] = DEAL(even, s048c);
    column[6] = DEAL(even, s159d);
    column[7] = DEAL(even, s26ae);
    column[8] = DEAL(even, s37bf);
    column[9] = (vec)(even[0].s48c, right[0], even[1].s48c, right[1], even[2].s48c, right[2], even[3].s48c, right[3]);
  } else {
    float own[10 * LANES];
    for (uint j = 0; j < NR; ++j)
      lane_columns(own + j, LANES, x, panel, j, tiling, ci, 2, dy, 0);
#pragma unroll
    for (uint k = 0; k < 10; ++k)
      column[k] = OWN(k);
  }
#else
  const int4 at = tile_of(panel, lane, tiling);
  const int y = at.s1 * 8 + dy, x0 = at.s2 * 8 - 1 + phase;
  const int inside = at.s0 >= 0 && y >= 0 && y < (int)tiling.height;
  global const float *row =
      x + (inside ? ((at.s0 * (int)tiling.channels + (int)ci) * (int)tiling.height + y) * (int)tiling.width : 0);
#pragma unroll
  for (int k = 0; k < 5; ++k)
    column[k] = inside ? row_element(row, x0 + 2 * k, (int)tiling.width) : 0.0f;
#endif
}

// The pass over the columns of d[5][5], whose rows are done, into packed: a point a plane.
INLINED void store_phase_input_points(global float *to, const vec *d, const uint plane) {
#pragma unroll
  for (uint k = 0; k < 5; ++k) {
    vec out[5];
    phase_input_points(out, d + k, 5);
#pragma unroll
    for (uint i = 0; i < 5; ++i)
      store_point(out[i], to + (i * 5 + k) * plane);
  }
}

// The points of the convolution's input: packed[panels][25][4 * channels][NR], phase-major in the depth.
// Global size: (channels * LANE_ITEMS, panels, 4 / PHASES).
kernel void winograd_strided_input(global const float *restrict x, global float *restrict packed, const Tiling tiling) {
  const uint ci = get_global_id(0) / LANE_ITEMS, lane = get_global_id(0) % LANE_ITEMS;
  const uint panel = get_global_id(1);
  if (ci >= tiling.channels || panel >= tiling.panels)
    return;
  const uint plane = SPACED(4 * tiling.channels * NR);
  const uint first = get_global_id(2) * PHASES, py = first / 2;
  if (first >= 4)
    return;
  vec d[PHASES * 25];
  ROWS_APART
  for (uint i = 0; i < 5; ++i) {
    vec column[5 * PHASES];
    phase_columns(column, x, tiling.firstPanel + panel, lane, tiling, ci, (int)(2 * i + py) - 1, (int)(first % 2));
#pragma unroll
    for (uint px = 0; px < PHASES; ++px)
      phase_input_points(d + 25 * px + 5 * i, column + 5 * px, 1);
  }
#pragma unroll
  for (uint px = 0; px < PHASES; ++px) {
    const vec *e = d + 25 * px;
    global float *to = packed + (ulong)panel * 25 * plane + ((first + px) * tiling.channels + ci) * NR + lane;
    store_phase_input_points(to, e, plane);
  }
}

// The points of the input gradient's input, for its four output phases: packed[panels][4][25][channels][NR].
// Global size: (channels * LANE_ITEMS, panels, 2 / PHASES).
kernel void winograd_transposed_input(global const float *restrict dy, global float *restrict packed, const Tiling tiling) {
  const uint co = get_global_id(0) / LANE_ITEMS, lane = get_global_id(0) % LANE_ITEMS;
  const uint panel = get_global_id(1);
  if (co >= tiling.channels || panel >= tiling.panels)
    return;
  const uint plane = SPACED(tiling.channels * NR);
  const uint first = get_global_id(2) * PHASES;
  if (first >= 2)
    return;
  vec d[PHASES * 30];
  ROWS_APART
  for (uint i = 0; i < 6; ++i) {
    vec column[6];
    six_columns(column, dy, tiling.firstPanel + panel, lane, tiling, co, (int)i - 1, (int)first);
#pragma unroll
    for (uint ex = 0; ex < PHASES; ++ex)
      phase_input_points(d + 30 * ex + 5 * i, column + ex, 1);
  }
#pragma unroll
  for (uint ey = 0; ey < 2; ++ey) {
#pragma unroll
    for (uint ex = 0; ex < PHASES; ++ex) {
      const vec *e = d + 30 * ex + 5 * ey;
      global float *to = packed + ((ulong)panel * 100 + 25 * (ey * 2 + first + ex)) * plane + co * NR + lane;
      store_phase_input_points(to, e, plane);
    }
  }
}

// y tile = A^T m A (+ bias), rectified, from products[panels][outChannels][25][NR] of the GEMM back to NCHW; the rows and
// columns of a tile beyond the image are dropped. Global size: (panels * LANE_ITEMS, outChannels).
kernel void winograd_strided_output(global const float *restrict products, global float *restrict y, const Tiling tiling,
                                    EPILOGUE_ARGUMENTS) {
  store_outputs(products, y, tiling, 5, bias, slopes, flags, slope);
}

// dx (+ bias), rectified, from products[panels][channels][4][25][NR]: phase (ey, ex) has the pixels (2 * y + ey, 2 * x + ex).
// Global size: (panels * LANE_ITEMS, channels).
kernel void winograd_transposed_output(global const float *restrict products, global float *restrict dx, const Tiling tiling,
                                       EPILOGUE_ARGUMENTS) {
  const uint panel = get_global_id(0) / LANE_ITEMS, lane = get_global_id(0) % LANE_ITEMS;
  const uint ci = get_global_id(1);
  if (panel >= tiling.panels || ci >= tiling.channels)
    return;
  const float offset = BIAS_OF(ci), rate = SLOPE_OF(ci);
  ROWS_APART
  for (uint ey = 0; ey < 2; ++ey) {
    vec tile[32];
    global const float *from = products + (((ulong)panel * tiling.channels + ci) * 4 + ey * 2) * 25 * NR + lane;
    // What the next work-item reads.
    for (uint k = 0; k < 50; ++k)
      WILL_READ(from + (tiling.channels * 100 + k) * NR);
#pragma unroll
    for (uint ex = 0; ex < 2; ++ex)
      output_tile(tile + 16 * ex, from + ex * 25 * NR, 5);
    ROWS_APART
    for (uint i = 0; i < 4; ++i) {
      const int dy = 2 * (int)i + (int)ey;
      vec value[8]; // [2 * column + ex]
#pragma unroll
      for (uint k = 0; k < 8; ++k)
        value[k] = RECTIFIED(tile[16 * (k % 2) + 4 * i + k / 2] + offset, rate);
#if LANES == 16
      if (tiling.pitch % 4 == 0) {
        transpose(value, 8); // to two times sixteen pixels of each quad
#pragma unroll
        for (uint q = 0; q < 4; ++q) {
          const int4 at = tile_of(tiling.firstPanel + panel, 4 * q, tiling);
          const int y = at.s1 * 8 + dy, x0 = at.s2 * 8;
          if (at.s0 < 0 || y >= (int)tiling.height)
            continue;
          global float *to = dx + ((at.s0 * (int)tiling.channels + (int)ci) * (int)tiling.height + y) * (int)tiling.width + x0;
          store_lanes(to, value[2 * q], (int)tiling.width - x0);
          store_lanes(to + 16, value[2 * q + 1], (int)tiling.width - x0 - 16);
        }
      } else {
        float own[8 * LANES];
#pragma unroll
        for (uint k = 0; k < 8; ++k)
          SET_OWN(k, value[k]);
        for (uint j = 0; j < NR; ++j)
          store_lane(dx, own + j, LANES, tiling.firstPanel + panel, j, tiling, ci, 2, dy);
      }
#else
      const int4 at = tile_of(tiling.firstPanel + panel, lane, tiling);
      const int y = at.s1 * 8 + dy, x0 = at.s2 * 8, count = (int)tiling.width - x0;
      if (at.s0 >= 0 && y < (int)tiling.height) {
        global float *to = dx + ((at.s0 * (int)tiling.channels + (int)ci) * (int)tiling.height + y) * (int)tiling.width + x0;
        store_four(to, (float4)(value[0], value[1], value[2], value[3]), count);
        store_four(to + 4, (float4)(value[4], value[5], value[6], value[7]), count - 4);
      }
#endif
    }
  }
}

// == section: winograd_gradient ==

// Weight gradients in Winograd's space, of both kinds of convolution. For processors: a GPU's are tiled_conv2d_weight_gradient.

// The 4x4 tile's row i of a gradient under the sixteen tiles: columns 4 * tile column + k.
static void four_columns(vec column[4], global const float *dy, const uint panel, const uint lane, const Tiling tiling,
                         const uint co, const int i) {
  vec six[6];
  six_columns(six, dy, panel, lane, tiling, co, i, 0);
#pragma unroll
  for (uint k = 0; k < 4; ++k)
    column[k] = six[k + 1];
}

// One pass of A over four vectors y[0], y[step], ... of a gradient's tile: for the weight gradient
// dg = G^T [ sum of (A dy A^T) . (B^T d B) ] G.
INLINED void gradient_points(vec *out, const vec *y, const uint step, const uint points) {
  const vec y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
  const vec p = y0 + y2, q = y1 + y3;
  const vec s = fma((vec)(4.0f), y2, y0), t = fma((vec)(8.0f), y3, 2.0f * y1);
  out[0] = y0;
  out[1] = p + q;
  out[2] = p - q;
  out[3] = s + t;
  if (points == 6)
    out[4] = s - t;
  out[points - 1] = y3;
}

// dw[co][ci][3][3] = G^T X G, with X = sums[36][channels][outChannels]. Global size: (outChannels, channels).
kernel void winograd_weight_gradient(global const float *restrict sums, global float *restrict dw, const uint outChannels,
                                     const uint channels) {
  const uint co = get_global_id(0);
  const uint ci = get_global_id(1);
  if (co >= outChannels || ci >= channels)
    return;
  global const float *from = sums + ci * outChannels + co;
  const uint plane = channels * outChannels;
  float h[18];
#pragma unroll
  for (uint j = 0; j < 6; ++j) {
    float m[6];
#pragma unroll
    for (uint i = 0; i < 6; ++i)
      m[i] = from[(i * 6 + j) * plane];
    h[j] = 0.25f * m[0] - (1.0f / 6.0f) * (m[1] + m[2]) + (1.0f / 24.0f) * (m[3] + m[4]);
    h[6 + j] = (1.0f / 6.0f) * (m[2] - m[1]) + (1.0f / 12.0f) * (m[3] - m[4]);
    h[12 + j] = (1.0f / 6.0f) * (m[3] + m[4] - m[1] - m[2]) + m[5];
  }
  global float *to = dw + (co * channels + ci) * 9;
#pragma unroll
  for (uint i = 0; i < 3; ++i) {
    const float *m = h + 6 * i;
    to[3 * i] = 0.25f * m[0] - (1.0f / 6.0f) * (m[1] + m[2]) + (1.0f / 24.0f) * (m[3] + m[4]);
    to[3 * i + 1] = (1.0f / 6.0f) * (m[2] - m[1]) + (1.0f / 12.0f) * (m[3] - m[4]);
    to[3 * i + 2] = (1.0f / 6.0f) * (m[3] + m[4] - m[1] - m[2]) + m[5];
  }
}

// One pass of G^T over five vectors.
INLINED void phase_filter_gradient(float16 *upper, float16 *lower, const float16 *m) {
  const float16 p = (1.0f / 6.0f) * m[2];
  *upper = fma((float16)(1.0f / 6.0f), m[3], 0.5f * (m[0] - m[1])) - p;
  *lower = fma((float16)(1.0f / 3.0f), m[3], p) + fma((float16)(-0.5f), m[1], m[4]);
}

// dw[co][ci][4][4] = G^T X G for each phase, with X = sums[25][4 * channels][outChannels]. A work-item makes sixteen
// output channels. Global size: (ceil(outChannels / 16), channels).
kernel void winograd_strided_weight_gradient(global const float *restrict sums, global float *restrict dw,
                                             const uint outChannels, const uint channels) {
  const uint co = get_global_id(0) * 16;
  const uint ci = get_global_id(1);
  if (co >= outChannels || ci >= channels)
    return;
  const ulong plane = (ulong)4 * channels * outChannels;
  float16 taps[16];
#pragma unroll
  for (uint phase = 0; phase < 4; ++phase) {
    global const float *from = sums + (phase * channels + ci) * outChannels;
    float16 h[10];
#pragma unroll
    for (uint j = 0; j < 5; ++j) {
      float16 m[5];
#pragma unroll
      for (uint i = 0; i < 5; ++i)
        m[i] = row_lanes(from + (i * 5 + j) * plane, (int)co, 1, (int)outChannels, co + 16 <= outChannels);
      phase_filter_gradient(h + j, h + 5 + j, m);
    }
#pragma unroll
    for (uint i = 0; i < 2; ++i) {
      const uint tap = (2 * i + phase / 2) * 4 + phase % 2;
      phase_filter_gradient(taps + tap, taps + tap + 2, h + 5 * i);
    }
  }
  transpose(taps, 16); // to the taps of each output channel
#pragma unroll
  for (uint j = 0; j < 16; ++j)
    if (co + j < outChannels)
      STORE16(taps[j], dw + ((co + j) * channels + ci) * 16);
}

// == section: winograd_gradient_kernel ==

// winograd_gradient, winograd_strided_gradient: A dy A^T into packed[POINTS * POINTS][panels][channels][NR], for panels from
// firstPanel on. Global size: (channels * LANE_ITEMS, panels).
kernel void KERNEL(global const float *restrict dy, global float *restrict packed, const Tiling tiling) {
  const uint co = get_global_id(0) / LANE_ITEMS, lane = get_global_id(0) % LANE_ITEMS;
  const uint panel = get_global_id(1);
  if (co >= tiling.channels || panel >= tiling.panels)
    return;
  vec d[4 * POINTS];
  ROWS_APART
  for (uint i = 0; i < 4; ++i) {
    vec column[4];
    four_columns(column, dy, tiling.firstPanel + panel, lane, tiling, co, (int)i);
    gradient_points(d + POINTS * i, column, 1, POINTS);
  }
  global float *to = packed + ((ulong)panel * tiling.channels + co) * NR + lane;
  const ulong plane = SPACED((ulong)tiling.panels * tiling.channels * NR);
#pragma unroll
  for (uint k = 0; k < POINTS; ++k) {
    vec out[POINTS];
    gradient_points(out, d + k, POINTS, POINTS);
#pragma unroll
    for (uint i = 0; i < POINTS; ++i)
      store_point(out[i], to + (i * POINTS + k) * plane);
  }
}

// == section: pool ==

// Max pooling: y = max over the window, and, where `hasWinners`, winners = its position in the plane (the first of equals, as
// PyTorch), which only a gradient needs.
// Windows are clipped to the image. A work-item makes RUN neighbours of a row, as the
// lanes of a vector where RUN is 16. Global size: (ceil(outWidth / RUN), outHeight, planes).
kernel void max_pool(global const float *restrict x, global float *restrict y, global uint *restrict winners, const uint planes,
                     const uint height, const uint width, const uint outHeight, const uint outWidth, const uint size,
                     const uint stride, const uint padding, const uint hasWinners) {
  const uint first = get_global_id(0) * RUN;
  const uint oy = get_global_id(1);
  const uint plane = get_global_id(2);
  if (first >= outWidth || oy >= outHeight || plane >= planes)
    return;
  global const float *from = x + (ulong)plane * height * width;
  const uint top = (uint)max((int)(oy * stride) - (int)padding, 0);
  const uint bottom = min(height, oy * stride + size - padding);
  const uint to = (plane * outHeight + oy) * outWidth + first;
#if RUN == 16
  const int left16 = (int)(first * stride) - (int)padding;
  const int16 columns = left16 + (int)stride * (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  float16 best = -INFINITY;
  int16 winner = (int)(top * width) + max(columns, 0);
  for (uint iy = top; iy < bottom; ++iy) {
    const long before = ((long)plane * height + iy) * width;
    const int isReadable =
        is_readable(left16, left16 + (int)size - 1, (int)stride, before, (long)planes * height * width - before);
    for (int k = 0; k < (int)size; ++k) {
      const float16 v = row_lanes_or(from + iy * width, left16 + k, (int)stride, (int)width, isReadable, -INFINITY);
      const int16 wins = v > best || v != v;
      best = select(best, v, wins);
      winner = select(winner, (int)(iy * width) + k + columns, wins);
    }
  }
  const int count = (int)(outWidth - first);
  store_lanes(y + to, best, count);
  if (hasWinners)
    store_lanes((global float *)(winners + to), as_float16(winner), count);
#else
  const uint left = (uint)max((int)(first * stride) - (int)padding, 0);
  const uint right = min(width, first * stride + size - padding);
  float best = -INFINITY;
  uint winner = top * width + left;
  for (uint iy = top; iy < bottom; ++iy)
    for (uint ix = left; ix < right; ++ix) {
      const float v = from[iy * width + ix];
      if (v > best || v != v) {
        best = v;
        winner = iy * width + ix;
      }
    }
  y[to] = best;
  if (hasWinners)
    winners[to] = winner;
#endif
}

// dx[plane, i] = sum of dy over the windows whose winner is i, window by window: a work-item owns a plane, so that none
// else adds to its pixels. For a processor, whose cores are fewer than the planes. Global size: (planes).
kernel void max_pool_scatter(global const float *restrict dy, global const uint *restrict winners, global float *restrict dx,
                             const uint planes, const uint area, const uint outArea) {
  const uint plane = get_global_id(0);
  if (plane >= planes)
    return;
  global float *to = dx + (ulong)plane * area;
  for (uint i = 0; i < area; ++i)
    to[i] = 0.0f;
  for (uint o = 0; o < outArea; ++o)
    to[winners[plane * outArea + o]] += dy[plane * outArea + o];
}

// The same as a gather, pixel by pixel, for a GPU and for few planes. Global size: (width, height, planes).
kernel void max_pool_gradient(global const float *restrict dy, global const uint *restrict winners, global float *restrict dx,
                              const uint planes, const uint height, const uint width, const uint outHeight, const uint outWidth,
                              const uint size, const uint stride, const uint padding) {
  const uint x = get_global_id(0);
  const uint y = get_global_id(1);
  const uint plane = get_global_id(2);
  if (x >= width || y >= height || plane >= planes)
    return;
  const uint firstY = y + padding >= size ? (y + padding - size) / stride + 1 : 0;
  const uint firstX = x + padding >= size ? (x + padding - size) / stride + 1 : 0;
  const uint lastY = min(outHeight - 1, (y + padding) / stride);
  const uint lastX = min(outWidth - 1, (x + padding) / stride);
  float sum = 0.0f;
  for (uint oy = firstY; oy <= lastY; ++oy)
    for (uint ox = firstX; ox <= lastX; ++ox) {
      const uint from = (plane * outHeight + oy) * outWidth + ox;
      if (winners[from] == y * width + x)
        sum += dy[from];
    }
  dx[(plane * height + y) * width + x] = sum;
}

// y[plane, o] = x[plane, winners[plane, o]]: the adjoint of max_pool_gradient. Global size: (outArea, planes).
kernel void max_pool_gather(global const float *restrict x, global const uint *restrict winners, global float *restrict y,
                            const uint planes, const uint area, const uint outArea) {
  const uint o = get_global_id(0);
  const uint plane = get_global_id(1);
  if (o < outArea && plane < planes)
    y[plane * outArea + o] = x[(ulong)plane * area + winners[plane * outArea + o]];
}

// Median pooling at stride 1: y = the median of the window of size x size pixels around each, cut at the border, the lower one
// of an even count; winners as max_pool's. By counting, for each element, how many are less and how many equal: no window is
// sorted or kept, so its size is free. Global size: (width, height, planes).
kernel void median_pool(global const float *restrict x, global float *restrict y, global uint *restrict winners,
                        const uint planes, const uint height, const uint width, const uint size, const uint hasWinners) {
  const uint ox = get_global_id(0);
  const uint oy = get_global_id(1);
  const uint plane = get_global_id(2);
  if (ox >= width || oy >= height || plane >= planes)
    return;
  const uint reach = size / 2;
  const uint top = (uint)max((int)oy - (int)reach, 0), bottom = min(height, oy + reach + 1);
  const uint left = (uint)max((int)ox - (int)reach, 0), right = min(width, ox + reach + 1);
  const uint before = ((bottom - top) * (right - left) - 1) / 2;
  global const float *from = x + (ulong)plane * height * width;
  uint winner = top * width + left;
  bool isFound = false;
  for (uint iy = top; iy < bottom && !isFound; ++iy)
    for (uint ix = left; ix < right && !isFound; ++ix) {
      const float v = from[iy * width + ix];
      uint less = 0, equal = 0;
      for (uint jy = top; jy < bottom; ++jy)
        for (uint jx = left; jx < right; ++jx) {
          const float w = from[jy * width + jx];
          less += w < v ? 1 : 0;
          equal += w == v ? 1 : 0;
        }
      if (less <= before && before < less + equal) {
        winner = iy * width + ix;
        isFound = true;
      }
    }
  const ulong at = ((ulong)plane * height + oy) * width + ox;
  y[at] = from[winner];
  if (hasWinners)
    winners[at] = winner;
}

// The number of elements that an average-pooling window divides by: padding counts, what ceil mode adds beyond it does not.
static float pool_divisor(const uint oy, const uint ox, const uint size, const uint stride, const uint padding,
                          const uint height, const uint width) {
  const int y0 = (int)(oy * stride) - (int)padding, x0 = (int)(ox * stride) - (int)padding;
  const int y1 = min(y0 + (int)size, (int)(height + padding)), x1 = min(x0 + (int)size, (int)(width + padding));
  return (float)((y1 - y0) * (x1 - x0));
}

// Average pooling, zero padding counted in the mean. Global size: (outWidth, outHeight, planes).
kernel void average_pool(global const float *restrict x, global float *restrict y, const uint planes, const uint height,
                         const uint width, const uint outHeight, const uint outWidth, const uint size, const uint stride,
                         const uint padding) {
  const uint ox = get_global_id(0);
  const uint oy = get_global_id(1);
  const uint plane = get_global_id(2);
  if (ox >= outWidth || oy >= outHeight || plane >= planes)
    return;
  const uint top = (uint)max((int)(oy * stride) - (int)padding, 0);
  const uint left = (uint)max((int)(ox * stride) - (int)padding, 0);
  const uint bottom = min(height, oy * stride + size - padding);
  const uint right = min(width, ox * stride + size - padding);
  float sum = 0.0f;
  for (uint iy = top; iy < bottom; ++iy)
    for (uint ix = left; ix < right; ++ix)
      sum += x[((ulong)plane * height + iy) * width + ix];
  y[(plane * outHeight + oy) * outWidth + ox] = sum / pool_divisor(oy, ox, size, stride, padding, height, width);
}

// The adjoint of average_pool. Global size: (width, height, planes).
kernel void average_pool_gradient(global const float *restrict dy, global float *restrict dx, const uint planes,
                                  const uint height, const uint width, const uint outHeight, const uint outWidth,
                                  const uint size, const uint stride, const uint padding) {
  const uint x = get_global_id(0);
  const uint y = get_global_id(1);
  const uint plane = get_global_id(2);
  if (x >= width || y >= height || plane >= planes)
    return;
  const uint firstY = y + padding >= size ? (y + padding - size) / stride + 1 : 0;
  const uint firstX = x + padding >= size ? (x + padding - size) / stride + 1 : 0;
  const uint lastY = min(outHeight - 1, (y + padding) / stride);
  const uint lastX = min(outWidth - 1, (x + padding) / stride);
  float sum = 0.0f;
  for (uint oy = firstY; oy <= lastY; ++oy)
    for (uint ox = firstX; ox <= lastX; ++ox)
      sum += dy[(plane * outHeight + oy) * outWidth + ox] / pool_divisor(oy, ox, size, stride, padding, height, width);
  dx[((ulong)plane * height + y) * width + x] = sum;
}

// == section: blocks ==

// Planes in blocks of side x side pixels that tile them, for which pooling and resizing by whole numbers are two maps, each
// the other's adjoint. rows and width count blocks, the planes' rows one after the other. A work-item takes BLOCKS
// neighbours. Global size: (ceil(width / BLOCKS), rows).
#define BLOCKS ((RUN + 1) / 2)

// y[r, c] = scale * the sum of block (r, c) of x.
kernel void block_sum(global const float *restrict x, global float *restrict y, const uint rows, const uint width,
                      const uint side, const float scale) {
  const uint first = get_global_id(0) * BLOCKS;
  const uint row = get_global_id(1);
  if (first >= width || row >= rows)
    return;
  global const float *from = x + (row * width * side + first) * side;
  global float *to = y + row * width + first;
#if RUN == 16
  if (side == 2 && first + 8 <= width) {
    const float16 upper = vload16(0, from), lower = vload16(0, from + width * 2);
    vstore8(((upper.even + upper.odd) + (lower.even + lower.odd)) * scale, 0, to);
    return;
  }
#endif
  for (uint j = 0; j < BLOCKS && first + j < width; ++j) {
    float sum = 0.0f;
    for (uint i = 0; i < side; ++i)
      for (uint k = 0; k < side; ++k)
        sum += from[i * width * side + j * side + k];
    to[j] = sum * scale;
  }
}

// Every pixel of block (r, c) of y = scale * x[r, c].
kernel void block_spread(global const float *restrict x, global float *restrict y, const uint rows, const uint width,
                         const uint side, const float scale) {
  const uint first = get_global_id(0) * BLOCKS;
  const uint row = get_global_id(1);
  if (first >= width || row >= rows)
    return;
  global const float *from = x + row * width + first;
  global float *to = y + (row * width * side + first) * side;
#if RUN == 16
  if (side == 2 && first + 8 <= width) {
    const float8 v = vload8(0, from) * scale;
    const float16 twice = v.s0011223344556677;
    STORE16(twice, to);
    STORE16(twice, to + width * 2);
    return;
  }
#endif
  for (uint j = 0; j < BLOCKS && first + j < width; ++j)
    for (uint i = 0; i < side; ++i)
      for (uint k = 0; k < side; ++k)
        to[i * width * side + j * side + k] = from[j] * scale;
}

// == section: resample ==

// A resize is linear and separable, y = Ry x Rx^T, and done an axis at a time. A mode says which source pixels an output index reads along
// one axis and with what weights. `mode`: 0 nearest, 1 bilinear (half-pixel centres), 2 bilinear with aligned
// corners, 3 area (adaptive average), 4 antialiased (a triangle as wide as two output pixels). scale = input / output, or
// (input - 1) / (output - 1) for mode 2.

// The source pixels [first, first + count) of an output index. `head` is the weight of the first, `tail` that of every
// other; for mode 4 pixel i weighs norm * max(0, 1 - |i - centre| * slope) instead, and all of them 1.
typedef struct {
  uint first, count;
  float head, tail;
  float centre, slope, norm;
} ResizeSource;

// How far from its centre the triangle of mode 4 reaches, in source pixels.
static float resize_reach(const float scale) { return fmax(scale, 1.0f); }

// The weight of tap i of a source, that of its pixel first + i.
static float resize_tap(const uint mode, const ResizeSource *source, const uint i) {
  if (mode == 4)
    return source->norm * fmax(0.0f, 1.0f - fabs((float)(source->first + i) - source->centre) * source->slope);
  return i == 0 ? source->head : source->tail;
}

// What output index o reads; count <= 2 but for modes 3 and 4.
static ResizeSource resize_source(const uint mode, const uint o, const uint input, const uint output, const float scale) {
  ResizeSource source = {0, 1, 1.0f, 0.0f, 0.0f, 1.0f, 1.0f};
  if (mode == 0) {
    source.first = min((uint)floor(o * scale), input - 1);
  } else if (mode == 3) {
    source.first = o * input / output;
    source.count = ((o + 1) * input + output - 1) / output - source.first;
    source.head = source.tail = 1.0f / (float)source.count;
  } else if (mode == 4) {
    const float reach = resize_reach(scale);
    source.slope = 1.0f / reach;
    source.centre = (o + 0.5f) * scale - 0.5f;
    source.first = min((uint)fmax(source.centre - reach + 1.0f, 0.0f), input - 1);
    const uint end = min((uint)(source.centre + reach + 1.0f), input);
    source.count = max(end, source.first + 1) - source.first;
    float sum = 0.0f;
    for (uint i = 0; i < source.count; ++i)
      sum += resize_tap(mode, &source, i);
    source.norm = 1.0f / sum;
  } else {
    const float at = mode == 1 ? fmax((o + 0.5f) * scale - 0.5f, 0.0f) : o * scale;
    const uint i = min((uint)at, input - 1);
    source.first = i;
    source.count = i + 1 < input ? 2 : 1;
    source.tail = i + 1 < input ? at - (float)i : 0.0f;
    source.head = 1.0f - source.tail;
  }
  return source;
}

// The weight of source pixel i in output o.
static float resize_weight(const uint mode, const uint o, const uint i, const uint input, const uint output,
                           const float scale) {
  const ResizeSource source = resize_source(mode, o, input, output, scale);
  return i < source.first || i >= source.first + source.count ? 0.0f : resize_tap(mode, &source, i - source.first);
}

// y[plane, oy, x] = the rows of x that output row oy reads, weighed: Ry of a resize. A work-item makes RUN columns.
// Global size: (ceil(width / RUN), outHeight, planes).
kernel void resize_rows(global const float *restrict x, global float *restrict y, const uint planes, const uint height,
                        const uint width, const uint outHeight, const uint mode, const float scale) {
  const uint column = get_global_id(0) * RUN;
  const uint oy = get_global_id(1);
  const uint plane = get_global_id(2);
  if (column >= width || oy >= outHeight || plane >= planes)
    return;
  const ResizeSource source = resize_source(mode, oy, height, outHeight, scale);
  global const float *from = x + ((ulong)plane * height + source.first) * width + column;
  global float *to = y + ((ulong)plane * outHeight + oy) * width + column;
  const float head = resize_tap(mode, &source, 0);
  if (column + RUN <= width) {
    float sum[RUN];
    for (uint j = 0; j < RUN; ++j)
      sum[j] = head * from[j];
    for (uint i = 1; i < source.count; ++i) {
      const float weight = resize_tap(mode, &source, i);
      for (uint j = 0; j < RUN; ++j)
        sum[j] = fma(weight, from[i * width + j], sum[j]);
    }
    for (uint j = 0; j < RUN; ++j)
      to[j] = sum[j];
  } else {
    for (uint j = 0; column + j < width; ++j) {
      float sum = head * from[j];
      for (uint i = 1; i < source.count; ++i)
        sum = fma(resize_tap(mode, &source, i), from[i * width + j], sum);
      to[j] = sum;
    }
  }
}

// y[row, ox] = the columns of a row that output column ox reads, weighed: Rx of a resize. A work-item takes RUN rows, for
// which what is read, and with what weights, is found once. Global size: (outWidth, ceil(rows / RUN)).
kernel void resize_columns(global const float *restrict x, global float *restrict y, const uint rows, const uint width,
                           const uint outWidth, const uint mode, const float scale) {
  const uint ox = get_global_id(0);
  const uint row = get_global_id(1) * RUN;
  if (ox >= outWidth || row >= rows)
    return;
  const ResizeSource source = resize_source(mode, ox, width, outWidth, scale);
  const float head = resize_tap(mode, &source, 0);
  for (uint j = row; j < min(row + RUN, rows); ++j) {
    global const float *from = x + (ulong)j * width + source.first;
    float sum = head * from[0];
    for (uint i = 1; i < source.count; ++i)
      sum = fma(resize_tap(mode, &source, i), from[i], sum);
    y[(ulong)j * outWidth + ox] = sum;
  }
}

// The outputs [*first, *last] that can read source pixel i along an axis: exact for mode 3, elsewhere one wider at either
// end than rounding can need.
static void resize_readers(const uint mode, const uint i, const uint input, const uint output, const float scale, uint *first,
                           uint *last) {
  if (mode == 3) {
    *first = i * output / input;
    *last = ((i + 1) * output + input - 1) / input - 1;
    return;
  }
  const float per = scale > 0.0f ? 1.0f / scale : (float)output;
  // How far before and after pixel i an output may lie and still touch it.
  const float reach = mode == 4 ? resize_reach(scale) : 1.0f;
  const float before = mode == 0 ? 0.0f : reach;
  const float centre = mode == 1 || mode == 4 ? 0.5f : 0.0f;
  *first = (uint)clamp(((float)i - before + centre) * per - centre - 1.0f, 0.0f, (float)(output - 1));
  *last = (uint)clamp(((float)i + reach + centre) * per - centre + 1.0f, 0.0f, (float)(output - 1));
}

// The adjoint of resize_rows. A work-item makes RUN columns. Global size: (ceil(width / RUN), height, planes).
kernel void resize_rows_gradient(global const float *restrict dy, global float *restrict dx, const uint planes,
                                 const uint height, const uint width, const uint outHeight, const uint mode,
                                 const float scale) {
  const uint column = get_global_id(0) * RUN;
  const uint iy = get_global_id(1);
  const uint plane = get_global_id(2);
  if (column >= width || iy >= height || plane >= planes)
    return;
  uint first, last;
  resize_readers(mode, iy, height, outHeight, scale, &first, &last);
  const uint count = min((uint)RUN, width - column);
  float sum[RUN];
  for (uint j = 0; j < RUN; ++j)
    sum[j] = 0.0f;
  for (uint oy = first; oy <= last; ++oy) {
    const float weight = resize_weight(mode, oy, iy, height, outHeight, scale);
    if (weight == 0.0f)
      continue;
    global const float *from = dy + ((ulong)plane * outHeight + oy) * width + column;
    if (count == RUN)
      for (uint j = 0; j < RUN; ++j)
        sum[j] = fma(weight, from[j], sum[j]);
    else
      for (uint j = 0; j < count; ++j)
        sum[j] = fma(weight, from[j], sum[j]);
  }
  global float *to = dx + ((ulong)plane * height + iy) * width + column;
  for (uint j = 0; j < count; ++j)
    to[j] = sum[j];
}

// The adjoint of resize_columns. A work-item takes RUN rows. Global size: (width, ceil(rows / RUN)).
kernel void resize_columns_gradient(global const float *restrict dy, global float *restrict dx, const uint rows,
                                    const uint width, const uint outWidth, const uint mode, const float scale) {
  const uint ix = get_global_id(0);
  const uint row = get_global_id(1) * RUN;
  if (ix >= width || row >= rows)
    return;
  uint first, last;
  resize_readers(mode, ix, width, outWidth, scale, &first, &last);
  const uint count = min((uint)RUN, rows - row);
  float sum[RUN];
  for (uint j = 0; j < RUN; ++j)
    sum[j] = 0.0f;
  for (uint ox = first; ox <= last; ++ox) {
    const float weight = resize_weight(mode, ox, ix, width, outWidth, scale);
    if (weight != 0.0f)
      for (uint j = 0; j < count; ++j)
        sum[j] = fma(weight, dy[(ulong)(row + j) * outWidth + ox], sum[j]);
  }
  for (uint j = 0; j < count; ++j)
    dx[(ulong)(row + j) * width + ix] = sum[j];
}

// == section: random ==

// Counter-based random numbers, Philox4x32-10 (Salmon et al., 2011): block i of a stream is a bijection of the
// counter (i, 0, stream) under the seed, so that any element can be made alone. The floats come from the bits
// by exactly rounded steps (integer work, +, *, fma) alone, none contracted: the same bits on every device.
#pragma OPENCL FP_CONTRACT OFF

static uint4 philox(uint4 counter, uint2 key) {
  for (uint round = 0; round < 10; ++round) {
    const uint low0 = 0xD2511F53u * counter.s0, high0 = mul_hi(0xD2511F53u, counter.s0);
    const uint low1 = 0xCD9E8D57u * counter.s2, high1 = mul_hi(0xCD9E8D57u, counter.s2);
    counter = (uint4)(high1 ^ counter.s1 ^ key.s0, low1, high0 ^ counter.s3 ^ key.s1, low0);
    key += (uint2)(0x9E3779B9u, 0xBB67AE85u);
  }
  return counter;
}

// The top 24 bits as a float in [0, 1).
static float uniform_from_bits(const uint bits) { return (float)(bits >> 8) * 0x1p-24f; }

// log(x) for normal x > 0: exponent and mantissa in [sqrt(1/2), sqrt(2)), then the series of atanh.
static float exact_log(const float x) {
  int bits = as_int(x);
  int exponent = (bits - 0x3f3504f3) >> 23;
  const float m = as_float(bits - (exponent << 23));
  // Newton's reciprocal of (m + 1) in [1.7, 2.42], from a linear start: division is not exactly rounded in OpenCL.
  const float d = m + 1.0f;
  float r = fma(-0.24313f, d, 0.98f);
  r = r * fma(-d, r, 2.0f);
  r = r * fma(-d, r, 2.0f);
  r = r * fma(-d, r, 2.0f);
  const float s = (m - 1.0f) * r, z = s * s;
  const float series = fma(z, fma(z, fma(z, 0.22222222f, 0.28571429f), 0.4f), 0.66666667f);
  return fma((float)exponent, 0.69314718f, fma(s * z, series, 2.0f * s));
}

// Square root of x > 0 by Newton steps on 1 / sqrt(x).
static float exact_sqrt(const float x) {
  float r = as_float(0x5f3759df - (as_int(x) >> 1));
  for (uint i = 0; i < 3; ++i)
    r = r * fma(-0.5f * x * r, r, 1.5f);
  return x * r;
}

// The standard normal quantile, from erf^-1 of Giles (2010), "Approximating the erfinv function".
static float normal_from_bits(const uint bits) {
  const float x = fma((float)(bits >> 8), 0x1p-23f, 0x1p-24f - 1.0f); // in (-1, 1), never +-1
  float w = -exact_log(fma(-x, x, 1.0f));
  float p;
  if (w < 5.0f) {
    w = w - 2.5f;
    p = fma(2.81022636e-08f, w, 3.43273939e-07f);
    p = fma(p, w, -3.5233877e-06f);
    p = fma(p, w, -4.39150654e-06f);
    p = fma(p, w, 0.00021858087f);
    p = fma(p, w, -0.00125372503f);
    p = fma(p, w, -0.00417768164f);
    p = fma(p, w, 0.246640727f);
    p = fma(p, w, 1.50140941f);
  } else {
    w = exact_sqrt(w) - 3.0f;
    p = fma(-0.000200214257f, w, 0.000100950558f);
    p = fma(p, w, 0.00134934322f);
    p = fma(p, w, -0.00367342844f);
    p = fma(p, w, 0.00573950773f);
    p = fma(p, w, -0.0076224613f);
    p = fma(p, w, 0.00943887047f);
    p = fma(p, w, 1.00167406f);
    p = fma(p, w, 2.83297682f);
  }
  return 1.41421356f * p * x;
}

// The four values of a block, as far as y has them.
static void store_block(global float *y, const uint count, const uint block, const float4 values) {
  const uint first = block * 4;
  if (first + 4 <= count) {
    vstore4(values, block, y);
    return;
  }
  y[first] = values.s0;
  if (first + 1 < count)
    y[first + 1] = values.s1;
  if (first + 2 < count)
    y[first + 2] = values.s2;
}

// y[4 i ..< 4 i + 4] from block i of (seed, stream): uniform in [0, 1). One work-item a block.
kernel void random_uniform(global float *restrict y, const uint count, const uint seedLow, const uint seedHigh,
                           const uint streamLow, const uint streamHigh) {
  const uint block = get_global_id(0);
  if (block * 4 >= count)
    return;
  const uint4 bits = philox((uint4)(block, 0, streamLow, streamHigh), (uint2)(seedLow, seedHigh));
  store_block(
      y, count, block,
      (float4)(uniform_from_bits(bits.s0), uniform_from_bits(bits.s1), uniform_from_bits(bits.s2), uniform_from_bits(bits.s3)));
}

// The same, standard normal.
kernel void random_normal(global float *restrict y, const uint count, const uint seedLow, const uint seedHigh,
                          const uint streamLow, const uint streamHigh) {
  const uint block = get_global_id(0);
  if (block * 4 >= count)
    return;
  const uint4 bits = philox((uint4)(block, 0, streamLow, streamHigh), (uint2)(seedLow, seedHigh));
  store_block(
      y, count, block,
      (float4)(normal_from_bits(bits.s0), normal_from_bits(bits.s1), normal_from_bits(bits.s2), normal_from_bits(bits.s3)));
}

#pragma OPENCL FP_CONTRACT ON

// == section: optimise ==

// One step of Adam (Kingma and Ba, 2015), in place: m and v are the moments, corrections = 1 - beta^t, and
// scale[0] multiplies the gradient (gradient clipping without a read-back). One work-item an element.
kernel void adam_step(global const float *restrict gradient, global const float *restrict scale,
                      global float *restrict parameter, global float *restrict m, global float *restrict v, const uint count,
                      const float learningRate, const float beta1, const float beta2, const float epsilon,
                      const float correction1, const float correction2) {
  const uint i = get_global_id(0);
  if (i >= count)
    return;
  const float g = gradient[i] * scale[0];
  const float m1 = fma(beta1, m[i], (1.0f - beta1) * g);
  const float v1 = fma(beta2, v[i], (1.0f - beta2) * g * g);
  m[i] = m1;
  v[i] = v1;
  parameter[i] -= learningRate / correction1 * m1 / (sqrt(v1) / sqrt(correction2) + epsilon);
}

// One projected sign step, in place: m <- gradient * scale[0] + momentum * m;
// parameter <- clamp(parameter - stepSize * sign(m), centre - bound, centre + bound). One work-item an element. NaN stays NaN,
// which OpenCL's clamp makes a bound of.
kernel void sign_step(global const float *restrict gradient, global const float *restrict scale,
                      global const float *restrict centre, global float *restrict parameter, global float *restrict m,
                      const uint count, const float stepSize, const float momentum, const float bound) {
  const uint i = get_global_id(0);
  if (i >= count)
    return;
  const float g = fma(momentum, m[i], gradient[i] * scale[0]);
  m[i] = g;
  const float step = g > 0.0f ? stepSize : (g < 0.0f ? -stepSize : 0.0f);
  const float moved = parameter[i] - step, low = centre[i] - bound, high = centre[i] + bound;
  parameter[i] = moved < low ? low : (moved > high ? high : moved);
}

// == section: peak ==

// What the device can do, for `tsdf bench` to hold kernels against.

// Vectors of a kernel that measures multiply-adds.
#if LANES == 16
typedef float16 peak_vec;
#define PEAK_LANES 16
#define PEAK_STORE(V, P) STORE16(V, P)
#else
typedef float4 peak_vec;
#define PEAK_LANES 4
#define PEAK_STORE(V, P) vstore4(V, 0, P)
#endif

// y = x over 16 elements a work-item: 128 bytes moved. On a GPU neighbours take neighbouring elements.
kernel void peak_copy(global const float *restrict x, global float *restrict y, const uint count) {
  const uint i = get_global_id(0);
#if RUN > 1
  if (i < count / 16)
    STORE16(vload16(i, x), y + 16 * i);
#else
  for (uint j = 0; j < 16; ++j)
    if (i < count / 16)
      y[i + j * (count / 16)] = x[i + j * (count / 16)];
#endif
}

// == section: peak_kernel ==

// peak_fma_VECTORS: y[i] = the sum of VECTORS independent vectors of PEAK_LANES lanes after `rounds` dependent fused
// multiply-adds on each: VECTORS * PEAK_LANES * 2 * rounds floating-point operations a work-item. Which VECTORS hides the
// latency and still stays in registers depends on the processor, so there are several and the fastest is the peak. A GPU's
// registers are a work-item's.
kernel void KERNEL(global float *restrict y, const uint rounds, const float a, const float b) {
  const uint i = get_global_id(0);
  peak_vec v[VECTORS];
#pragma unroll
  for (uint j = 0; j < VECTORS; ++j)
    v[j] = (float)(i + j);
  const peak_vec m = a, c = b;
  for (uint r = 0; r < rounds; ++r) {
#pragma unroll
    for (uint j = 0; j < VECTORS; ++j)
      v[j] = fma(v[j], m, c);
  }
  peak_vec sum = 0.0f;
#pragma unroll
  for (uint j = 0; j < VECTORS; ++j)
    sum += v[j];
  PEAK_STORE(sum, y + PEAK_LANES * i);
}

// == section: loops ==

// sum[0] = `rounds` times one[0], in as many rounds of a loop: whether a device runs them all.
kernel void count_rounds(global const float *restrict one, global float *restrict sum, const uint rounds) {
  if (get_global_id(0) > 0)
    return;
  float total = 0.0f;
  for (uint i = 0; i < rounds; ++i)
    total += one[0];
  sum[0] = total;
}
