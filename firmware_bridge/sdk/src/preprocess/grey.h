/* A picture in memory, and its rows as 8-bit grey: edge_cns/grey.py in C, equal to it bit for bit. */
#ifndef EDGE_CNS_GREY_H
#define EDGE_CNS_GREY_H

#include <stddef.h>
#include <stdint.h>

typedef enum ec_format { EC_GREY8 = 1, EC_GREY16 = 2, EC_BGR8 = 3 } ec_format; /* also the bytes of a pixel */

typedef struct ec_region {
  int x, y, width, height; /* px */
} ec_region;

typedef struct ec_picture {
  const uint8_t *pixels;
  size_t stride; /* bytes from a row to the next */
  int width, height;
  ec_format format;
  int bits_stored; /* of EC_GREY16, in the machine's byte order: 8 to 16 */
} ec_picture;

/* The part of a picture inside a region, which must lie within it. Nothing is copied. */
ec_picture ec_crop(const ec_picture *picture, ec_region region);

/* Every `step`-th pixel of a row as grey, `count` of them. */
void ec_grey_samples(const ec_picture *picture, int row, int step, int count, uint8_t *out);

/* A whole row as grey: in the picture itself where it is so already, otherwise written to `buffer`, `width` bytes. */
const uint8_t *ec_grey_row(const ec_picture *picture, int row, uint8_t *buffer);

#endif
