/* Where the ultrasound image lies in a frame: edge_cns/region.py in C, equal to it. */
#ifndef EDGE_CNS_REGION_H
#define EDGE_CNS_REGION_H

#include <stddef.h>

#include "preprocess/grey.h"

#define EC_MOST_PARTS 50 /* each fills 2 % of the frame at least */

/* Boxes around the large parts that look like ultrasound, px of the frame. Returns how many. */
int ec_find_parts(const ec_picture *frame, ec_region parts[EC_MOST_PARTS], void *scratch);

/* Bytes of scratch that frames up to this size need. */
size_t ec_parts_scratch(int most_width, int most_height);

/* The box around all parts; the whole frame where they are too small to be believed. */
ec_region ec_enclosing(const ec_picture *frame, const ec_region *parts, int count);

/* The box around some boxes. */
ec_region ec_union(const ec_region *parts, int count);

#endif
