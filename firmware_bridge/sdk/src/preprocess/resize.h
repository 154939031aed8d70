/* Resizing a grey picture as edge_cns/preprocess.py does it, bit for bit.
 *
 * resize_linear.c has integers only and needs no table of its own: where there is no floating point, the taps of a
 * known size are made beforehand (resize_taps.c has the rule). resize_area.c computes in float, in OpenCV's order; it
 * must be compiled without contraction to fused multiply-add.
 *
 * Nothing is allocated. `scratch` is memory of at least the stated size, aligned as for float.
 */
#ifndef EDGE_CNS_RESIZE_H
#define EDGE_CNS_RESIZE_H

#include <stddef.h>
#include <stdint.h>

#include "preprocess/grey.h"

/* Where a picture is written. */
typedef struct ec_plane {
  uint8_t *pixels;
  size_t stride;
  int width, height;
} ec_plane;

/* A bilinear sample along one axis: two source pixels and their weights in 1/2048. */
typedef struct ec_tap {
  uint16_t first, second;
  uint16_t first_weight, second_weight;
} ec_tap;

/* Taps that bring `from` columns or rows to `to`. Rows and columns differ in their weights beyond the edges. */
void ec_column_taps(int from, int to, ec_tap *taps);
void ec_row_taps(int from, int to, ec_tap *taps);

/* Bytes of scratch: two lines of 16 bits, `samples` + 1 lines of 8 bits, and a row of the source (0 if it is EC_GREY8).
 */
#define EC_LINEAR_SCRATCH(samples, to_width, grey_width) \
  ((size_t)(to_width) * (samples) * (5 + (samples)) + (size_t)(grey_width))

/* Bilinear, to any size. `columns`: to->width taps, `rows`: to->height. Scratch: EC_LINEAR_SCRATCH(1, ...). */
void ec_resize_linear(const ec_picture *from, const ec_plane *to, const ec_tap *columns, const ec_tap *rows,
                      void *scratch);

/* Means of `samples` x `samples` bilinear samples, 3 or 4, for each pixel. `columns`: samples * to->width taps,
 * `rows`: samples * to->height. Scratch: EC_LINEAR_SCRATCH(samples, ...). */
void ec_resize_samples(const ec_picture *from, const ec_plane *to, int samples, const ec_tap *columns,
                       const ec_tap *rows, void *scratch);

/* Means of 2x2 pixels: the source has twice the width and height. `to` may be the source's own memory, from its start
 * on. Scratch: two rows of the source; none if it is EC_GREY8. */
void ec_resize_half(const ec_picture *from, const ec_plane *to, void *scratch);

/* Means of the area under each pixel, to a size that is not larger. Scratch: ec_area_scratch. */
void ec_resize_area(const ec_picture *from, const ec_plane *to, void *scratch);
size_t ec_area_scratch(int from_width, int to_width);

#endif
