#include "preprocess/region.h"

#include <string.h>

#include "preprocess/outline.h"

enum {
  THUMBNAIL_SIDE = 96, /* px that the thumbnail's shorter side has at least; less than twice as many */
  BLACK = 8,           /* grey levels */
  REACH = 3,           /* px of the thumbnail on each side over which density is judged */
  WINDOW = 2 * REACH + 1,
  SMALLEST_SIDE = 32 /* px of the frame */
};
#define LARGE 0.02    /* of the thumbnail, that a part needs */
#define SMALLEST 0.12 /* of the frame, below which a find is not believed */

static int least(int a, int b) { return a < b ? a : b; }
static int greatest(int a, int b) { return a > b ? a : b; }

/* Sums over WINDOW x WINDOW pixels, where the edge's pixels go on beyond the edge, row by row from the first on. */
typedef struct sums {
  const uint8_t *pixels;
  int width, height;
  ptrdiff_t stride;
  uint16_t *columns; /* sums of WINDOW rows */
} sums;

static const uint8_t *row_of(const sums *s, int y) {
  return s->pixels + greatest(0, least(y, s->height - 1)) * s->stride;
}

static void begin_sums(sums *s) {
  memset(s->columns, 0, sizeof *s->columns * (size_t)s->width);
  for (int i = -REACH - 1; i < REACH; i++) { /* as it is for the row above the first */
    const uint8_t *row = row_of(s, i);
    for (int x = 0; x < s->width; x++) s->columns[x] = (uint16_t)(s->columns[x] + row[x]);
  }
}

/* Sums of row y, after those of row y - 1. */
static void next_sums(sums *s, int y, uint16_t *restrict out) {
  const uint8_t *gone = row_of(s, y - REACH - 1), *come = row_of(s, y + REACH);
  for (int x = 0; x < s->width; x++) s->columns[x] = (uint16_t)(s->columns[x] + come[x] - gone[x]);
  unsigned sum = 0;
  for (int i = -REACH - 1; i < REACH; i++) sum += s->columns[greatest(0, least(i, s->width - 1))];
  for (int x = 0; x < s->width; x++) {
    sum += s->columns[least(x + REACH, s->width - 1)];
    sum -= s->columns[greatest(x - REACH - 1, 0)];
    out[x] = (uint16_t)sum;
  }
}

/* Marks what is neither black nor flat. */
static void mark_rough(const uint8_t *thumbnail, int width, int height, uint16_t *work, uint8_t *marks) {
  sums s = {thumbnail, width, height, width, work};
  uint16_t *around = work + width;
  begin_sums(&s);
  for (int y = 0; y < height; y++) {
    const uint8_t *pixel = thumbnail + (ptrdiff_t)y * width;
    uint8_t *mark = marks + (ptrdiff_t)y * width;
    next_sums(&s, y, around);
    for (int x = 0; x < width; x++) {
      unsigned mean = (around[x] + 24u) / 49u; /* rounded: there are no halves */
      mark[x] = pixel[x] > BLACK && pixel[x] != mean;
    }
  }
}

/* Keeps marks where more than half of the window has them. `mask` has a frame of zeros, see ec_find_outlines. */
static void mark_dense(const uint8_t *marks, int width, int height, uint16_t *work, uint8_t *mask) {
  sums s = {marks, width, height, width, work};
  uint16_t *around = work + width;
  memset(mask, 0, (size_t)(width + 2) * (size_t)(height + 2));
  begin_sums(&s);
  for (int y = 0; y < height; y++) {
    uint8_t *dense = mask + (ptrdiff_t)(y + 1) * (width + 2) + 1;
    next_sums(&s, y, around);
    for (int x = 0; x < width; x++) dense[x] = 2 * around[x] > WINDOW * WINDOW;
  }
}

/* Sides of the largest thumbnail of frames up to this size. */
static size_t most_thumbnail(int most_width, int most_height, int border) {
  const size_t limit = (size_t)2 * THUMBNAIL_SIDE;
  size_t longer = (size_t)greatest(most_width, most_height), shorter = (size_t)least(most_width, most_height);
  if (shorter > limit) shorter = limit;
  return (longer + (size_t)border) * (shorter + (size_t)border);
}

size_t ec_parts_scratch(int most_width, int most_height) {
  size_t work = 2 * sizeof(uint16_t) * (size_t)greatest(most_width, most_height);
  return work + most_thumbnail(most_width, most_height, 0) + most_thumbnail(most_width, most_height, 2);
}

int ec_find_parts(const ec_picture *frame, ec_region parts[EC_MOST_PARTS], void *scratch) {
  const int step = greatest(1, least(frame->width, frame->height) / THUMBNAIL_SIDE);
  const int width = (frame->width + step - 1) / step, height = (frame->height + step - 1) / step;
  const size_t size = (size_t)width * (size_t)height;
  uint16_t *work = scratch;
  uint8_t *marks = (uint8_t *)(work + 2 * (ptrdiff_t)width);
  uint8_t *thumbnail = marks + size; /* the mask takes its place */
  for (int y = 0; y < height; y++) ec_grey_samples(frame, y * step, step, width, thumbnail + (ptrdiff_t)y * width);
  mark_rough(thumbnail, width, height, work, marks);
  mark_dense(marks, width, height, work, thumbnail);
  int count = ec_find_outlines(thumbnail, width, height, 2 * (LARGE * (double)size), parts, EC_MOST_PARTS);
  for (int i = 0; i < count; i++) {
    ec_region *p = parts + i;
    int left = greatest(0, p->x - REACH) * step, top = greatest(0, p->y - REACH) * step;
    int right = least(frame->width, (p->x + p->width + REACH) * step);
    int bottom = least(frame->height, (p->y + p->height + REACH) * step);
    p->x = left, p->y = top, p->width = right - left, p->height = bottom - top;
  }
  return count;
}

ec_region ec_union(const ec_region *parts, int count) {
  int left = parts[0].x, top = parts[0].y, right = left + parts[0].width, bottom = top + parts[0].height;
  for (int i = 1; i < count; i++) {
    left = least(left, parts[i].x);
    top = least(top, parts[i].y);
    right = greatest(right, parts[i].x + parts[i].width);
    bottom = greatest(bottom, parts[i].y + parts[i].height);
  }
  ec_region box = {left, top, right - left, bottom - top};
  return box;
}

ec_region ec_enclosing(const ec_picture *frame, const ec_region *parts, int count) {
  if (count > 0) {
    ec_region box = ec_union(parts, count);
    double area = (double)box.width * box.height;
    if (area >= SMALLEST * frame->width * frame->height && least(box.width, box.height) >= SMALLEST_SIDE) return box;
  }
  ec_region whole = {0, 0, frame->width, frame->height};
  return whole;
}
