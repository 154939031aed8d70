/* The files that a bundle's manifest lists, each against its digest. */
#ifndef EDGE_CNS_SEALED_H
#define EDGE_CNS_SEALED_H

#include "classify/bundle.h"

typedef struct sealed_file {
  const char *name;
  blob *content; /* where it is kept; given back empty where the bundle lacks the file */
  int required;
  char sha256[65]; /* filled in */
} sealed_file;

/* Verify every file of the folder, and keep the content of those in `wanted`, which ends with a NULL name. On an error
 * nothing is kept. */
edge_cns_status ec_sealed_read(const char *path, sealed_file *wanted);

#endif
