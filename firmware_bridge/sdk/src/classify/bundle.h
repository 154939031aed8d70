/* A bundle on disk, verified: edge_cns/bundle.py in C. */
#ifndef EDGE_CNS_BUNDLE_H
#define EDGE_CNS_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

#include "classify/contract.h"
#include "edge_cns.h"

typedef struct blob {
  uint8_t *bytes; /* aligned to 64; NULL: the bundle has no such file */
  size_t size;
} blob;

typedef struct bundle {
  blob model, decision, golden, quantisation;
  contract contract;
  const char *proof; /* what the quantisation gate found: passed, undecided or failed */
  int tolerance[3];  /* steps by which logits, cam and embedding may differ from the golden ones */
} bundle;

/* Read and verify a bundle. Every file is read once: what was hashed is what is used. On an error there is nothing to
 * be freed, and edge_cns_error() says what is wrong. */
edge_cns_status ec_bundle_read(const char *path, bundle *out);
void ec_bundle_free(bundle *held);

/* Free a file that is not needed any longer. */
void ec_bundle_drop(blob *file);

#endif
