#include "preprocess/grey.h"

#include <string.h>

/* Luma (ITU-R BT.601) in 1/32768, as OpenCV rounds it. */
enum { LUMA_BLUE = 3735, LUMA_GREEN = 19235, LUMA_RED = 9798, LUMA_BITS = 15 };

ec_picture ec_crop(const ec_picture *picture, ec_region region) {
  ec_picture part = *picture;
  part.pixels += (size_t)region.y * picture->stride + (size_t)region.x * (size_t)picture->format;
  part.width = region.width;
  part.height = region.height;
  return part;
}

static uint8_t luma(const uint8_t *bgr) {
  int sum = bgr[0] * LUMA_BLUE + bgr[1] * LUMA_GREEN + bgr[2] * LUMA_RED;
  return (uint8_t)((sum + (1 << (LUMA_BITS - 1))) >> LUMA_BITS);
}

/* Low bits are dropped; what lies above the stored ones is white. */
static uint8_t high_byte(const uint8_t *pixel, int shift) {
  uint16_t value;
  memcpy(&value, pixel, sizeof value);
  unsigned shifted = (unsigned)value >> shift;
  return (uint8_t)(shifted < 255 ? shifted : 255);
}

void ec_grey_samples(const ec_picture *picture, int row, int step, int count, uint8_t *out) {
  const uint8_t *pixel = picture->pixels + (size_t)row * picture->stride;
  size_t jump = (size_t)step * (size_t)picture->format;
  int shift = picture->bits_stored - 8;
  switch (picture->format) {
    case EC_GREY8:
      for (int i = 0; i < count; i++) out[i] = pixel[(size_t)i * jump];
      break;
    case EC_GREY16:
      for (int i = 0; i < count; i++) out[i] = high_byte(pixel + (size_t)i * jump, shift);
      break;
    case EC_BGR8:
      for (int i = 0; i < count; i++) out[i] = luma(pixel + (size_t)i * jump);
      break;
  }
}

const uint8_t *ec_grey_row(const ec_picture *picture, int row, uint8_t *buffer) {
  if (picture->format == EC_GREY8) return picture->pixels + (size_t)row * picture->stride;
  ec_grey_samples(picture, row, 1, picture->width, buffer);
  return buffer;
}
