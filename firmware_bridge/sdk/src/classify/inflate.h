/* Deflated data (RFC 1951), for the arrays of a bundle. */
#ifndef EDGE_CNS_INFLATE_H
#define EDGE_CNS_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Unpack exactly `out_size` bytes. Returns false for anything else than a whole stream of that many; reads and writes
 * nothing beside the two buffers, whatever they hold. */
bool ec_inflate_raw(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size);

#endif
