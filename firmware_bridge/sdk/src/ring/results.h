/* Results that came and have not been polled: a few, the oldest is dropped. */
#ifndef EDGE_CNS_RESULTS_H
#define EDGE_CNS_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "edge_cns.h"

#define RESULTS_WAITING 4u

typedef struct results {
  edge_cns_result waiting[RESULTS_WAITING];
  uint32_t first, count;
} results;

/* Where the next one can be read to; it waits once results_push says so. */
edge_cns_result *ec_results_next(results *all);
/* `false` when the oldest had to go for it. */
bool ec_results_push(results *all);
bool ec_results_pop(results *all, edge_cns_result *to);

#endif
