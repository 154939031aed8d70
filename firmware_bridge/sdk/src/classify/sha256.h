/* SHA-256 (FIPS 180-4). */
#ifndef EDGE_CNS_SHA256_H
#define EDGE_CNS_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct sha256 {
  uint32_t state[8];
  uint64_t bytes;
  uint8_t block[64];
} sha256;

void ec_sha256_begin(sha256 *hash);
void ec_sha256_add(sha256 *hash, const void *data, size_t size);

/* Ends it and writes 64 hexadecimal digits in lower case and a NUL. */
void ec_sha256_hex(sha256 *hash, char text[65]);

#endif
