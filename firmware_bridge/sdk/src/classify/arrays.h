/* Arrays of an .npz file, as edge_cns.bundle.write_arrays writes them. */
#ifndef EDGE_CNS_ARRAYS_H
#define EDGE_CNS_ARRAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ARRAY_MOST_AXES = 4 };

typedef enum array_type { ARRAY_UINT8, ARRAY_INT8, ARRAY_FLOAT32 } array_type;

typedef struct array {
  uint8_t *memory;    /* to be freed by ec_array_free */
  const void *values; /* in C order, aligned for their type */
  array_type type;
  int axes;
  size_t shape[ARRAY_MOST_AXES];
  size_t count; /* of values */
} array;

/* Read the array NAME.npy of an archive. Returns false, and nothing to be freed, where it is not there or damaged. */
bool ec_array_read(const uint8_t *archive, size_t size, const char *name, array *out);

void ec_array_free(array *held);

#endif
