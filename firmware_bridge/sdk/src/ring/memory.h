/* The ring: a sealed memory file that is cut into slots. It has no name anywhere, and is gone with its last user. */
#ifndef EDGE_CNS_MEMORY_H
#define EDGE_CNS_MEMORY_H

#include <stdint.h>

#include "edge_cns.h"

typedef struct ring_memory {
  int descriptor; /* -1: none */
  uint8_t *bytes;
  uint64_t size, slot_bytes;
  uint32_t slots;
} ring_memory;

edge_cns_status ec_ring_memory_make(ring_memory *memory, uint64_t frame_bytes, uint32_t slots);
void ec_ring_memory_free(ring_memory *memory);

#endif
