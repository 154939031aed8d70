#include "ring/results.h"

edge_cns_result *ec_results_next(results *all) {
  return &all->waiting[(all->first + all->count) % RESULTS_WAITING];
}

bool ec_results_push(results *all) {
  if (++all->count < RESULTS_WAITING) return true; /* one place is always kept for the next */
  all->first = (all->first + 1) % RESULTS_WAITING;
  all->count--;
  return false;
}

bool ec_results_pop(results *all, edge_cns_result *to) {
  if (all->count == 0) return false;
  *to = all->waiting[all->first];
  all->first = (all->first + 1) % RESULTS_WAITING;
  all->count--;
  return true;
}
