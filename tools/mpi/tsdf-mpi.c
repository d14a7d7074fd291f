// The part of tsdf that speaks MPI: a library of its own, so that neither building nor running tsdf needs MPI. tools/make-mpi
// compiles it; tsdf loads it where --mpi asks for it. Every function returns 0, or an MPI error code.
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

// As many values as are exchanged at once: MPI counts in ints.
enum { LARGEST_ROUND = 1 << 26 };

static int rank, count;

int tsdf_mpi_begin(int *own_rank, int *member_count, int *rank_on_machine) {
  int provided, code;
  MPI_Comm machine;
  if ((code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided)))
    return code;
  if (provided < MPI_THREAD_SERIALIZED)
    return MPI_ERR_OTHER;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if ((code = MPI_Comm_rank(MPI_COMM_WORLD, &rank)))
    return code;
  if ((code = MPI_Comm_size(MPI_COMM_WORLD, &count)))
    return code;
  if ((code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &machine)))
    return code;
  code = MPI_Comm_rank(machine, rank_on_machine);
  MPI_Comm_free(&machine);
  *own_rank = rank;
  *member_count = count;
  return code;
}

// One round: each rank gets its piece of all, adds it up in the order of ranks, and gives the sum to all. A library's own reduction
// may add in an order that depends on sizes and on the network.
static int sum_round(float *values, int length) {
  int *counts = malloc(4 * count * sizeof(int));
  int code = MPI_ERR_NO_MEM;
  if (!counts)
    return code;
  int *starts = counts + count, *own_counts = counts + 2 * count, *own_starts = counts + 3 * count;
  for (int r = 0; r < count; r++) {
    starts[r] = (int)((long long)length * r / count);
    counts[r] = (int)((long long)length * (r + 1) / count) - starts[r];
  }
  int own = counts[rank];
  for (int r = 0; r < count; r++) {
    own_counts[r] = own;
    own_starts[r] = own * r;
  }
  float *pieces = malloc((size_t)own * count * sizeof(float) + 1);
  float *total = malloc((size_t)own * sizeof(float) + 1);
  if (pieces && total) {
    code = MPI_Alltoallv(values, counts, starts, MPI_FLOAT, pieces, own_counts, own_starts, MPI_FLOAT, MPI_COMM_WORLD);
    if (!code) {
      memcpy(total, pieces, (size_t)own * sizeof(float));
      for (int r = 1; r < count; r++)
        for (int i = 0; i < own; i++)
          total[i] += pieces[(size_t)own * r + i];
      code = MPI_Allgatherv(total, own, MPI_FLOAT, values, counts, starts, MPI_FLOAT, MPI_COMM_WORLD);
    }
  }
  free(total);
  free(pieces);
  free(counts);
  return code;
}

int tsdf_mpi_sum(float *values, size_t length) {
  for (size_t done = 0; done < length; done += LARGEST_ROUND) {
    size_t left = length - done;
    int code = sum_round(values + done, left < LARGEST_ROUND ? (int)left : LARGEST_ROUND);
    if (code)
      return code;
  }
  return 0;
}

int tsdf_mpi_broadcast(float *values, size_t length) {
  for (size_t done = 0; done < length; done += LARGEST_ROUND) {
    size_t left = length - done;
    int code = MPI_Bcast(values + done, left < LARGEST_ROUND ? (int)left : LARGEST_ROUND, MPI_FLOAT, 0, MPI_COMM_WORLD);
    if (code)
      return code;
  }
  return 0;
}

int tsdf_mpi_end(void) { return MPI_Finalize(); }

// Ends all ranks.
void tsdf_mpi_abandon(int status) { MPI_Abort(MPI_COMM_WORLD, status); }
