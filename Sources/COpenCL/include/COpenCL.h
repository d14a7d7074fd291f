// The OpenCL C API, pinned to 1.2, and the text of the repository's kernels.cl, carried in the binary.
#ifndef TSDF_COPENCL_H
#define TSDF_COPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <malloc.h> // mallopt, for HostMemory.swift
#include <stddef.h>

// The text of kernels.cl, not terminated; its length in bytes goes to *length.
const unsigned char *tsdf_kernel_source(size_t *length);

#endif
