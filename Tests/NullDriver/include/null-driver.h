// An OpenCL driver that does nothing: see null-driver.c.
#ifndef TSDF_NULL_DRIVER_H
#define TSDF_NULL_DRIVER_H

#include <CL/cl.h>

// Where the loader of OpenCL finds the driver (cl_khr_icd).
cl_int clIcdGetPlatformIDsKHR(cl_uint count, cl_platform_id *platforms, cl_uint *found);
void *clGetExtensionFunctionAddress(const char *name);

#endif
