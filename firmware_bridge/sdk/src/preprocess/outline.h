/* Connected parts of a mask, by their outlines. */
#ifndef EDGE_CNS_OUTLINE_H
#define EDGE_CNS_OUTLINE_H

#include <stdint.h>

#include "preprocess/grey.h"

/* Finds parts of ones, connected also across corners, that lie in no hole of another part. The lowest comes first, by
 * the topmost row of each.
 *
 * mask: width x height of 0 and 1, with a frame of zeros one pixel wide around it that is not counted in the size; rows
 * are width + 2 bytes apart. It is marked on the way.
 * smallest: twice the area inside an outline, drawn through the centres of its pixels, that a part needs at least.
 * boxes: of the parts, `most` of them at the utmost. Returns how many there are. */
int ec_find_outlines(uint8_t *mask, int width, int height, double smallest, ec_region *boxes, int most);

#endif
