/* Imaging modes that a grey-scale classifier cannot read: edge_cns/mode.py in C, equal to it. */
#ifndef EDGE_CNS_MODE_H
#define EDGE_CNS_MODE_H

#include <stdbool.h>
#include <stddef.h>

#include "preprocess/grey.h"

/* Bytes of scratch for ec_is_coloured. */
#define EC_COLOUR_SCRATCH ((size_t)16 * 2 * 256 * sizeof(uint16_t))

/* Whether enough pixels have a colour of their own, beside the tint that all pixels of their brightness share. */
bool ec_is_coloured(const ec_picture *crop, void *scratch);

/* Whether what lies left and right of a gap are two images of one size at one height. `parts` are sorted by it. */
bool ec_is_dual(ec_region *parts, int count, int width, int height);

#endif
