// An OpenCL driver that does nothing with kernels and counts what is asked of it: what a step costs the host is what is left.
// It is GPUs with no memory behind their buffers; what is read back is zero. Loaded by OCL_ICD_FILENAMES. When the process
// ends, and at every clFinish, the counts so far go to the file that NULL_DRIVER_COUNTS names, one "NAME COUNT" a line.
// NULL_DRIVER_DEVICES tells which GPUs there are, "NAME:GIB:SHARED:VERSION,..." (SHARED: 1 where the memory is the host's); else one.
// NULL_DRIVER_GROUP is the most work-items of a group that a kernel runs in; 256 where it is not set.
#include "null-driver.h"

#include <CL/cl_icd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Everything that the loader hands around begins with the table of functions.
struct object {
  cl_icd_dispatch *dispatch;
  int references;
};

enum count { LAUNCHES, ARGUMENTS, SUB_BUFFERS, BUFFERS, WRITES, READS, FILLS, FLUSHES, FINISHES, KERNELS, COUNTS };
static const char *const names[COUNTS] = {"launches", "arguments", "sub-buffers", "buffers",  "writes",
                                          "reads",    "fills",     "flushes",     "finishes", "kernels"};
static unsigned long counts[COUNTS];
static cl_icd_dispatch table;
static struct object platform = {&table, 1};

#define MOST_DEVICES 8
static struct device {
  cl_icd_dispatch *dispatch;
  char name[32];
  unsigned long gibibytes;
  unsigned shared;
  char version[32];
} devices[MOST_DEVICES];

// Fills `devices`, and says how many there are.
static cl_uint read_devices(void) {
  const char *text = getenv("NULL_DRIVER_DEVICES");
  cl_uint count = 0;
  for (text = text ? text : "null:64:0:1.2"; text && count < MOST_DEVICES; ++count) {
    struct device *device = &devices[count];
    device->dispatch = &table;
    strcpy(device->version, "OpenCL ");
    if (sscanf(text, "%31[^:]:%lu:%u:%15[^,]", device->name, &device->gibibytes, &device->shared, device->version + 7) != 4)
      break;
    text = strchr(text, ',');
    text = text ? text + 1 : NULL;
  }
  return count;
}

static void write_counts(void) {
  const char *path = getenv("NULL_DRIVER_COUNTS");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (!file)
    return;
  for (int i = 0; i < COUNTS; ++i)
    fprintf(file, "%s %lu\n", names[i], counts[i]);
  fclose(file);
}

static void *make(enum count kind, cl_int *status) {
  struct object *object = calloc(1, sizeof *object);
  if (object)
    *object = (struct object){&table, 1};
  if (kind < COUNTS)
    ++counts[kind];
  if (status)
    *status = object ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
  return object;
}

static cl_int release(void *pointer) {
  struct object *object = pointer;
  if (--object->references == 0)
    free(object);
  return CL_SUCCESS;
}

static cl_int retain(void *pointer) {
  ++((struct object *)pointer)->references;
  return CL_SUCCESS;
}

// Answers a question with a value, as clGet...Info does.
static cl_int answer(const void *value, size_t size, size_t room, void *target, size_t *needed) {
  if (needed)
    *needed = size;
  if (target) {
    if (room < size)
      return CL_INVALID_VALUE;
    memcpy(target, value, size);
  }
  return CL_SUCCESS;
}

static cl_int answer_text(const char *text, size_t room, void *target, size_t *needed) {
  return answer(text, strlen(text) + 1, room, target, needed);
}

#define ANSWER(type, ...) answer(&(type){__VA_ARGS__}, sizeof(type), room, target, needed)

CL_API_ENTRY cl_int clIcdGetPlatformIDsKHR(cl_uint count, cl_platform_id *platforms, cl_uint *found) {
  if (platforms && count > 0)
    platforms[0] = (cl_platform_id)&platform;
  if (found)
    *found = 1;
  return CL_SUCCESS;
}

static cl_int get_platform_info(cl_platform_id id, cl_platform_info question, size_t room, void *target, size_t *needed) {
  (void)id;
  switch (question) {
  case CL_PLATFORM_EXTENSIONS:
    return answer_text("cl_khr_icd", room, target, needed);
  case CL_PLATFORM_ICD_SUFFIX_KHR:
    return answer_text("null", room, target, needed);
  case CL_PLATFORM_VERSION:
    return answer_text("OpenCL 1.2 null", room, target, needed);
  case CL_PLATFORM_PROFILE:
    return answer_text("FULL_PROFILE", room, target, needed);
  default:
    return answer_text("null", room, target, needed);
  }
}

static cl_int get_device_ids(cl_platform_id id, cl_device_type type, cl_uint count, cl_device_id *ids, cl_uint *found) {
  (void)id;
  if (!(type & (CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_DEFAULT)))
    return CL_DEVICE_NOT_FOUND;
  const cl_uint all = read_devices();
  for (cl_uint i = 0; ids && i < count && i < all; ++i)
    ids[i] = (cl_device_id)&devices[i];
  if (found)
    *found = all;
  return CL_SUCCESS;
}

static cl_int get_device_info(cl_device_id id, cl_device_info question, size_t room, void *target, size_t *needed) {
  const struct device *device = (const struct device *)id;
  switch (question) {
  case CL_DEVICE_TYPE:
    return ANSWER(cl_device_type, CL_DEVICE_TYPE_GPU);
  case CL_DEVICE_AVAILABLE:
  case CL_DEVICE_COMPILER_AVAILABLE:
    return ANSWER(cl_bool, CL_TRUE);
  case CL_DEVICE_MAX_COMPUTE_UNITS:
    return ANSWER(cl_uint, 64);
  case CL_DEVICE_MAX_WORK_GROUP_SIZE:
    return ANSWER(size_t, 1024);
  case CL_DEVICE_LOCAL_MEM_SIZE:
    return ANSWER(cl_ulong, 48 << 10);
  case CL_DEVICE_GLOBAL_MEM_SIZE:
    return ANSWER(cl_ulong, (cl_ulong)device->gibibytes << 30);
  case CL_DEVICE_HOST_UNIFIED_MEMORY:
    return ANSWER(cl_bool, device->shared);
  case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
    return ANSWER(cl_ulong, (cl_ulong)16 << 30);
  case CL_DEVICE_MEM_BASE_ADDR_ALIGN:
    return ANSWER(cl_uint, 1024);
  case CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT:
    return ANSWER(cl_uint, 1);
  case CL_DEVICE_NAME:
    return answer_text(device->name, room, target, needed);
  case CL_DEVICE_VENDOR:
    return answer_text("null", room, target, needed);
  case CL_DEVICE_VERSION:
    return answer_text(device->version, room, target, needed);
  case CL_DRIVER_VERSION:
    return answer_text("1", room, target, needed);
  case CL_DEVICE_EXTENSIONS:
    return answer_text("", room, target, needed);
  case CL_DEVICE_PLATFORM:
    return ANSWER(cl_platform_id, (cl_platform_id)&platform);
  default:
    return CL_INVALID_VALUE;
  }
}

static cl_context create_context(const cl_context_properties *properties, cl_uint count, const cl_device_id *devices,
                                 void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *data,
                                 cl_int *status) {
  (void)properties, (void)count, (void)devices, (void)notify, (void)data;
  return make(COUNTS, status);
}

static cl_command_queue create_queue(cl_context context, cl_device_id id, cl_command_queue_properties properties,
                                     cl_int *status) {
  (void)context, (void)id, (void)properties;
  return make(COUNTS, status);
}

static cl_mem create_buffer(cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *status) {
  (void)context, (void)flags, (void)size, (void)host;
  return make(BUFFERS, status);
}

static cl_mem create_sub_buffer(cl_mem buffer, cl_mem_flags flags, cl_buffer_create_type type, const void *region,
                                cl_int *status) {
  (void)buffer, (void)flags, (void)type, (void)region;
  return make(SUB_BUFFERS, status);
}

static cl_program create_program(cl_context context, cl_uint count, const char **texts, const size_t *lengths, cl_int *status) {
  (void)context, (void)count, (void)texts, (void)lengths;
  return make(COUNTS, status);
}

static cl_program create_from_binary(cl_context context, cl_uint count, const cl_device_id *devices, const size_t *lengths,
                                     const unsigned char **binaries, cl_int *found, cl_int *status) {
  (void)context, (void)count, (void)devices, (void)lengths, (void)binaries;
  if (found)
    *found = CL_SUCCESS;
  return make(COUNTS, status);
}

static cl_int build_program(cl_program program, cl_uint count, const cl_device_id *devices, const char *options,
                            void(CL_CALLBACK *notify)(cl_program, void *), void *data) {
  (void)program, (void)count, (void)devices, (void)options, (void)notify, (void)data;
  return CL_SUCCESS;
}

static cl_int get_build_info(cl_program program, cl_device_id id, cl_program_build_info question, size_t room, void *target,
                             size_t *needed) {
  (void)program, (void)id;
  return question == CL_PROGRAM_BUILD_STATUS ? ANSWER(cl_build_status, CL_BUILD_SUCCESS)
                                             : answer_text("", room, target, needed);
}

static cl_int get_program_info(cl_program program, cl_program_info question, size_t room, void *target, size_t *needed) {
  (void)program;
  // No binaries: nothing is kept of programs that are none.
  return question == CL_PROGRAM_BINARY_SIZES ? ANSWER(size_t, 0) : CL_INVALID_VALUE;
}

static cl_kernel create_kernel(cl_program program, const char *name, cl_int *status) {
  (void)program, (void)name;
  return make(KERNELS, status);
}

static size_t most_items(void) {
  const char *given = getenv("NULL_DRIVER_GROUP");
  return given ? strtoul(given, NULL, 10) : 256;
}

static cl_int get_work_group_info(cl_kernel kernel, cl_device_id id, cl_kernel_work_group_info question, size_t room,
                                  void *target, size_t *needed) {
  (void)kernel, (void)id;
  return ANSWER(cl_ulong, question == CL_KERNEL_WORK_GROUP_SIZE ? most_items() : 0);
}

static cl_int set_argument(cl_kernel kernel, cl_uint index, size_t size, const void *value) {
  (void)kernel, (void)index, (void)size, (void)value;
  ++counts[ARGUMENTS];
  return CL_SUCCESS;
}

static cl_int finish_command(enum count kind, cl_event *event) {
  ++counts[kind];
  if (event)
    *event = make(COUNTS, NULL);
  return CL_SUCCESS;
}

static cl_int launch(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset, const size_t *global,
                     const size_t *local, cl_uint count, const cl_event *waited, cl_event *event) {
  (void)queue, (void)kernel, (void)offset, (void)global, (void)count, (void)waited;
  size_t items = 1;
  for (cl_uint axis = 0; axis < dimensions; ++axis)
    items *= local[axis];
  if (items > most_items())
    return CL_INVALID_WORK_GROUP_SIZE;
  return finish_command(LAUNCHES, event);
}

static cl_int enqueue_write(cl_command_queue queue, cl_mem buffer, cl_bool waits, size_t offset, size_t size,
                            const void *source, cl_uint count, const cl_event *waited, cl_event *event) {
  (void)queue, (void)buffer, (void)waits, (void)offset, (void)size, (void)source, (void)count, (void)waited;
  return finish_command(WRITES, event);
}

static cl_int enqueue_read(cl_command_queue queue, cl_mem buffer, cl_bool waits, size_t offset, size_t size, void *target,
                           cl_uint count, const cl_event *waited, cl_event *event) {
  (void)queue, (void)buffer, (void)waits, (void)offset, (void)count, (void)waited;
  memset(target, 0, size);
  return finish_command(READS, event);
}

static cl_int enqueue_fill(cl_command_queue queue, cl_mem buffer, const void *pattern, size_t width, size_t offset, size_t size,
                           cl_uint count, const cl_event *waited, cl_event *event) {
  (void)queue, (void)buffer, (void)pattern, (void)width, (void)offset, (void)size, (void)count, (void)waited;
  return finish_command(FILLS, event);
}

static cl_int flush(cl_command_queue queue) {
  (void)queue;
  return finish_command(FLUSHES, NULL);
}

static cl_int finish(cl_command_queue queue) {
  (void)queue;
  ++counts[FINISHES];
  write_counts();
  return CL_SUCCESS;
}

static cl_int wait_for_events(cl_uint count, const cl_event *events) {
  (void)count, (void)events;
  return CL_SUCCESS;
}

static cl_int get_profiling_info(cl_event event, cl_profiling_info question, size_t room, void *target, size_t *needed) {
  (void)event, (void)question;
  return ANSWER(cl_ulong, 0);
}

static cl_int set_event_callback(cl_event event, cl_int state, void(CL_CALLBACK *notify)(cl_event, cl_int, void *),
                                 void *data) {
  notify(event, state, data);
  return CL_SUCCESS;
}

static cl_int release_context(cl_context object) { return release(object); }
static cl_int release_queue(cl_command_queue object) { return release(object); }
static cl_int release_memory(cl_mem object) { return release(object); }
static cl_int retain_memory(cl_mem object) { return retain(object); }
static cl_int release_program(cl_program object) { return release(object); }
static cl_int release_kernel(cl_kernel object) { return release(object); }
static cl_int release_event(cl_event object) { return release(object); }

static cl_icd_dispatch table = {
    .clGetPlatformInfo = get_platform_info,
    .clGetDeviceIDs = get_device_ids,
    .clGetDeviceInfo = get_device_info,
    .clCreateContext = create_context,
    .clReleaseContext = release_context,
    .clCreateCommandQueue = create_queue,
    .clReleaseCommandQueue = release_queue,
    .clCreateBuffer = create_buffer,
    .clCreateSubBuffer = create_sub_buffer,
    .clRetainMemObject = retain_memory,
    .clReleaseMemObject = release_memory,
    .clCreateProgramWithSource = create_program,
    .clCreateProgramWithBinary = create_from_binary,
    .clBuildProgram = build_program,
    .clGetProgramBuildInfo = get_build_info,
    .clGetProgramInfo = get_program_info,
    .clReleaseProgram = release_program,
    .clCreateKernel = create_kernel,
    .clReleaseKernel = release_kernel,
    .clGetKernelWorkGroupInfo = get_work_group_info,
    .clSetKernelArg = set_argument,
    .clEnqueueNDRangeKernel = launch,
    .clEnqueueWriteBuffer = enqueue_write,
    .clEnqueueReadBuffer = enqueue_read,
    .clEnqueueFillBuffer = enqueue_fill,
    .clFlush = flush,
    .clFinish = finish,
    .clWaitForEvents = wait_for_events,
    .clGetEventProfilingInfo = get_profiling_info,
    .clSetEventCallback = set_event_callback,
    .clReleaseEvent = release_event,
};

CL_API_ENTRY void *clGetExtensionFunctionAddress(const char *name) {
  if (!strcmp(name, "clIcdGetPlatformIDsKHR"))
    return (void *)clIcdGetPlatformIDsKHR;
  return strcmp(name, "clGetPlatformInfo") ? NULL : (void *)get_platform_info;
}
