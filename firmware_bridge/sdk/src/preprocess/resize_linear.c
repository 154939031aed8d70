/* Integers only. The roundings are those of OpenCV's fixed-point bilinear resize: 11 bits of weight, of which the sum
 * along a row keeps 7 before the columns are weighed. */
#include "preprocess/resize.h"

#include <string.h>

enum { ROW_SHIFT = 4, COLUMN_SHIFT = 16, LAST_SHIFT = 2 };

/* Source rows brought to the output's width, kept from one output row to the next: neighbours differ in parity. */
typedef struct lines {
  const ec_picture *from;
  const ec_tap *columns;
  int width;
  int rows[2];
  int16_t *weighed[2];
  uint8_t *grey;
} lines;

static lines start(const ec_picture *from, const ec_tap *columns, int width, void *scratch) {
  int16_t *first = scratch;
  lines made = {from, columns, width, {-1, -1}, {first, first + width}, (uint8_t *)(first + 2 * (ptrdiff_t)width)};
  return made;
}

static const int16_t *weighed_row(lines *state, int row) {
  int16_t *out = state->weighed[row & 1];
  if (state->rows[row & 1] == row) return out;
  const uint8_t *pixels = ec_grey_row(state->from, row, state->grey);
  const ec_tap *tap = state->columns;
  for (int x = 0; x < state->width; x++, tap++) {
    int sum = pixels[tap->first] * tap->first_weight + pixels[tap->second] * tap->second_weight;
    out[x] = (int16_t)(sum >> ROW_SHIFT);
  }
  state->rows[row & 1] = row;
  return out;
}

static void sample_row(lines *state, const ec_tap *tap, uint8_t *restrict out) {
  const int16_t *first = weighed_row(state, tap->first), *second = weighed_row(state, tap->second);
  const int16_t first_weight = (int16_t)tap->first_weight, second_weight = (int16_t)tap->second_weight;
  for (int x = 0; x < state->width; x++) {
    const int16_t above = (int16_t)((first[x] * first_weight) >> COLUMN_SHIFT);
    const int16_t below = (int16_t)((second[x] * second_weight) >> COLUMN_SHIFT);
    out[x] = (uint8_t)((above + below + (1 << (LAST_SHIFT - 1))) >> LAST_SHIFT);
  }
}

void ec_resize_linear(const ec_picture *from, const ec_plane *to, const ec_tap *columns, const ec_tap *rows,
                      void *scratch) {
  lines state = start(from, columns, to->width, scratch);
  for (int y = 0; y < to->height; y++) sample_row(&state, rows + y, to->pixels + (size_t)y * to->stride);
}

static void means_of_3x3(const uint8_t *samples, int width, uint8_t *restrict out) {
  const uint8_t *a = samples, *b = a + 3 * (ptrdiff_t)width, *c = b + 3 * (ptrdiff_t)width;
  for (int x = 0; x < width; x++, a += 3, b += 3, c += 3) {
    unsigned sum = a[0] + a[1] + a[2] + b[0] + b[1] + b[2] + c[0] + c[1] + c[2];
    out[x] = (uint8_t)((sum + 4u) / 9u); /* rounded: there are no halves */
  }
}

/* Two neighbours, whichever comes first in memory. */
static unsigned pair(const uint8_t *pixels) {
  uint16_t both;
  memcpy(&both, pixels, sizeof both);
  return (both & 255u) + (both >> 8);
}

/* Means of 2x2 of two rows. */
static void halve_rows(const uint8_t *above, const uint8_t *below, int width, uint8_t *out) {
  for (ptrdiff_t x = 0; x < width; x++) out[x] = (uint8_t)((pair(above + 2 * x) + pair(below + 2 * x) + 2u) >> 2);
}

/* Two steps of 2x2, each rounded. `samples` is followed by room for a row. */
static void means_of_4x4(uint8_t *samples, int width, uint8_t *out) {
  const ptrdiff_t row = 4 * (ptrdiff_t)width;
  uint8_t *above = samples + 4 * row, *below = above + 2 * (ptrdiff_t)width;
  halve_rows(samples, samples + row, 2 * width, above);
  halve_rows(samples + 2 * row, samples + 3 * row, 2 * width, below);
  halve_rows(above, below, width, out);
}

void ec_resize_samples(const ec_picture *from, const ec_plane *to, int samples, const ec_tap *columns,
                       const ec_tap *rows, void *scratch) {
  const int width = samples * to->width;
  lines state = start(from, columns, width, scratch);
  uint8_t *sampled = state.grey;
  state.grey += (ptrdiff_t)(samples + 1) * width;
  for (int y = 0; y < to->height; y++) {
    const ec_tap *taps = rows + (ptrdiff_t)y * samples;
    for (int i = 0; i < samples; i++) sample_row(&state, taps + i, sampled + (ptrdiff_t)i * width);
    uint8_t *out = to->pixels + (size_t)y * to->stride;
    if (samples == 3)
      means_of_3x3(sampled, to->width, out);
    else
      means_of_4x4(sampled, to->width, out);
  }
}

void ec_resize_half(const ec_picture *from, const ec_plane *to, void *scratch) {
  uint8_t *buffer = scratch;
  for (int y = 0; y < to->height; y++) {
    const uint8_t *above = ec_grey_row(from, 2 * y, buffer);
    const uint8_t *below = ec_grey_row(from, 2 * y + 1, buffer == NULL ? NULL : buffer + from->width);
    halve_rows(above, below, to->width, to->pixels + (size_t)y * to->stride);
  }
}
