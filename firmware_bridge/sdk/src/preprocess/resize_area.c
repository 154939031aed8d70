/* INTER_AREA in OpenCV's order of operations: float sums along a row, then down the rows. Every product is rounded
 * before it is added; compile with -ffp-contract=off. */
#include <float.h>
#include <math.h>

#include "preprocess/resize.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

#define EDGE 1e-3 /* share of a source pixel below which it is left out */

/* Source pixels under one output pixel, in order: one in part, whole ones, one in part. */
typedef struct cell {
  int first; /* of the whole ones */
  int whole;
  float before, each, after; /* weights; 0 where there is no such pixel */
} cell;

static cell cell_of(int index, int from, double scale) {
  double left = index * scale, right = left + scale;
  double width = fmin(scale, from - left);
  int last = (int)floor(right), first = (int)ceil(left);
  if (last > from - 1) last = from - 1;
  if (first > last) first = last;
  cell made = {first, last - first, 0, (float)(1.0 / width), 0};
  if (first - left > EDGE) made.before = (float)((first - left) / width);
  if (right - last > EDGE) made.after = (float)(fmin(fmin(right - last, 1.0), width) / width);
  return made;
}

static double scale_of(int from, int to) { return 1.0 / ((double)to / from); }

static uint8_t rounded(float value) { /* halves to even */
  long whole = lrintf(value);
  return (uint8_t)(whole < 0 ? 0 : whole > 255 ? 255 : whole);
}

static void sum_row(const uint8_t *pixels, const cell *columns, int width, float *restrict out) {
  for (int x = 0; x < width; x++) {
    const cell *c = columns + x;
    const uint8_t *pixel = pixels + c->first;
    float sum = 0, product;
    if (c->before > 0) {
      product = (float)pixel[-1] * c->before;
      sum += product;
    }
    for (int i = 0; i < c->whole; i++) {
      product = (float)*pixel++ * c->each;
      sum += product;
    }
    if (c->after > 0) {
      product = (float)*pixel * c->after;
      sum += product;
    }
    out[x] = sum;
  }
}

typedef struct rows {
  const ec_picture *from;
  const cell *columns;
  int width;
  int row; /* whose sums are in `sums` */
  float *sums, *total;
  uint8_t *grey;
} rows;

/* Adds a source row to the totals, or begins them with it. */
static void add_row(rows *state, int row, float weight, int begin) {
  if (state->row != row) {
    sum_row(ec_grey_row(state->from, row, state->grey), state->columns, state->width, state->sums);
    state->row = row;
  }
  const float *restrict sums = state->sums;
  float *restrict total = state->total;
  for (int x = 0; x < state->width; x++) {
    float product = weight * sums[x];
    total[x] = begin ? product : total[x] + product;
  }
}

static void fractional(const ec_picture *from, const ec_plane *to, double scale_x, double scale_y, void *scratch) {
  cell *columns = scratch;
  float *sums = (float *)(columns + to->width), *total = sums + to->width;
  rows state = {from, columns, to->width, -1, sums, total, (uint8_t *)(total + to->width)};
  for (int x = 0; x < to->width; x++) columns[x] = cell_of(x, from->width, scale_x);
  for (int y = 0; y < to->height; y++) {
    cell c = cell_of(y, from->height, scale_y);
    int begin = 1;
    if (c.before > 0) {
      add_row(&state, c.first - 1, c.before, begin);
      begin = 0;
    }
    for (int i = 0; i < c.whole; i++, begin = 0) add_row(&state, c.first + i, c.each, begin);
    if (c.after > 0) add_row(&state, c.first + c.whole, c.after, begin);
    uint8_t *out = to->pixels + (size_t)y * to->stride;
    for (int x = 0; x < to->width; x++) out[x] = rounded(total[x]);
  }
}

/* Whole numbers of pixels: their sum is exact, and scaled once. */
static void whole(const ec_picture *from, const ec_plane *to, int across, int down, void *scratch) {
  int32_t *sums = scratch;
  uint8_t *grey = (uint8_t *)(sums + to->width);
  const float scale = 1.0f / (float)(across * down);
  for (int y = 0; y < to->height; y++) {
    for (int x = 0; x < to->width; x++) sums[x] = 0;
    for (int i = 0; i < down; i++) {
      const uint8_t *pixel = ec_grey_row(from, y * down + i, grey);
      for (int x = 0; x < to->width; x++)
        for (int j = 0; j < across; j++) sums[x] += *pixel++;
    }
    uint8_t *out = to->pixels + (size_t)y * to->stride;
    for (int x = 0; x < to->width; x++) out[x] = rounded((float)sums[x] * scale);
  }
}

size_t ec_area_scratch(int from_width, int to_width) {
  return (size_t)to_width * (sizeof(cell) + 2 * sizeof(float)) + 2 * (size_t)from_width;
}

void ec_resize_area(const ec_picture *from, const ec_plane *to, void *scratch) {
  const double scale_x = scale_of(from->width, to->width), scale_y = scale_of(from->height, to->height);
  const int across = (int)rint(scale_x), down = (int)rint(scale_y);
  if (fabs(scale_x - across) >= DBL_EPSILON || fabs(scale_y - down) >= DBL_EPSILON)
    fractional(from, to, scale_x, scale_y, scratch);
  else if (across == 2 && down == 2)
    ec_resize_half(from, to, scratch);
  else
    whole(from, to, across, down, scratch);
}
