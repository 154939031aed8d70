/* The self-test: golden vectors show that this machine computes what the bundle's maker computed. */
#ifndef EDGE_CNS_GOLDEN_H
#define EDGE_CNS_GOLDEN_H

#include <stdbool.h>

#include "classify/bundle.h"
#include "classify/engine.h"

/* Run the bundle's golden vectors: edge_cns/runtime/selftest.py. The network's image may differ by 2 grey levels, each
 * output by the steps that the bundle's gate measured, and the class must be the same wherever its lead exceeds that.
 *
 * scratch: ec_prepare_scratch for the bundle's golden frames is reserved and given back here.
 * exact: whether nothing differed at all. */
edge_cns_status ec_golden_check(const bundle *b, engine *e, bool *exact);

#endif
