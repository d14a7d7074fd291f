#include "COpenCL.h"

// C23 #embed: SwiftPM's own embedding writes an array literal that takes the compiler half a minute.
#pragma clang diagnostic ignored "-Wc23-extensions"
static const unsigned char source[] = {
#embed "../../kernels.cl"
};

const unsigned char *tsdf_kernel_source(size_t *length) {
  *length = sizeof source;
  return source;
}
