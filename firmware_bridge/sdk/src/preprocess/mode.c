#include "preprocess/mode.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "preprocess/region.h"

enum {
  SAMPLES = 128, /* px along the longer side that colour is looked for on */
  LEVELS = 16,   /* of brightness, for each of which a tint has one colour */
  STRONG = 36,   /* levels of chroma away from the tint */
  OVERLAP = 8    /* one over the share of their width by which boxes overlap that were found with a margin */
};
#define ALIKE 0.6  /* smaller over larger side of two images of one dual view */
#define LARGE 0.08 /* of the frame, that each of them fills at least */

typedef struct ycc {
  int level;     /* of brightness, 0 to LEVELS - 1 */
  int chroma[2]; /* red and blue difference, 0 to 255 */
} ycc;

static int chroma_of(int colour, int luma, int factor) {
  int value = ((colour - luma) * factor + (128 << 14) + (1 << 13)) >> 14;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/* YCbCr (ITU-R BT.601) in 1/16384, as OpenCV rounds it. */
static ycc convert(const uint8_t *bgr) {
  int luma = (bgr[0] * 1868 + bgr[1] * 9617 + bgr[2] * 4899 + (1 << 13)) >> 14;
  ycc made = {luma / LEVELS, {chroma_of(bgr[2], luma, 11682), chroma_of(bgr[0], luma, 9241)}};
  return made;
}

typedef uint16_t histogram[256];

/* Twice the median of a histogram of so many values. */
static int doubled_median(const uint16_t *counts, int total) {
  int seen = 0, value = 0;
  while (seen + counts[value] < (total + 1) / 2) seen += counts[value++];
  int lower = value;
  while (seen + counts[value] < total / 2 + 1) seen += counts[value++];
  return lower + value;
}

static int step_of(const ec_picture *crop) {
  int longer = crop->width > crop->height ? crop->width : crop->height;
  return longer < 2 * SAMPLES ? 1 : longer / SAMPLES;
}

/* Counts the chroma of each level of brightness. Returns the largest distance from no colour. */
static int count_chroma(const ec_picture *crop, int step, histogram counts[LEVELS][2], int totals[LEVELS]) {
  int largest = 0;
  for (int y = 0; y < crop->height; y += step) {
    const uint8_t *pixel = crop->pixels + (size_t)y * crop->stride;
    for (int x = 0; x < crop->width; x += step) {
      ycc c = convert(pixel + 3 * (ptrdiff_t)x);
      totals[c.level]++;
      for (int k = 0; k < 2; k++) {
        counts[c.level][k][c.chroma[k]]++;
        int distance = abs(c.chroma[k] - 128);
        if (distance > largest) largest = distance;
      }
    }
  }
  return largest;
}

bool ec_is_coloured(const ec_picture *crop, void *scratch) {
  if (crop->format != EC_BGR8) return false;
  histogram(*counts)[2] = scratch;
  int totals[LEVELS] = {0}, tints[LEVELS][2] = {{0}};
  const int step = step_of(crop);
  memset(counts, 0, EC_COLOUR_SCRATCH);
  if (count_chroma(crop, step, counts, totals) < STRONG) return false; /* grey that came as three channels */
  for (int level = 0; level < LEVELS; level++)
    for (int k = 0; k < 2 && totals[level] > 0; k++) tints[level][k] = doubled_median(counts[level][k], totals[level]);
  int64_t strong = 0, all = 0;
  for (int y = 0; y < crop->height; y += step) {
    const uint8_t *pixel = crop->pixels + (size_t)y * crop->stride;
    for (int x = 0; x < crop->width; x += step, all++) {
      ycc c = convert(pixel + 3 * (ptrdiff_t)x);
      strong += abs(2 * c.chroma[0] - tints[c.level][0]) >= 2 * STRONG ||
                abs(2 * c.chroma[1] - tints[c.level][1]) >= 2 * STRONG;
    }
  }
  return 250 * strong >= all; /* 0.4 % of the region: callipers, a logo and a focus mark are smaller */
}

static int least(int a, int b) { return a < b ? a : b; }
static int greatest(int a, int b) { return a > b ? a : b; }

static bool alike(int a, int b) { return least(a, b) >= ALIKE * greatest(a, b); }

static bool are_two_images(ec_region a, ec_region b, double frame) {
  if (least(a.width * a.height, b.width * b.height) < LARGE * frame) return false;
  if (a.x + a.width > b.x + least(a.width, b.width) / OVERLAP) return false;
  int shared = least(a.y + a.height, b.y + b.height) - greatest(a.y, b.y);
  return alike(a.width, b.width) && alike(a.height, b.height) && shared >= ALIKE * greatest(a.height, b.height);
}

bool ec_is_dual(ec_region *parts, int count, int width, int height) {
  for (int i = 1; i < count; i++) /* stable, as Python's sort is */
    for (int j = i; j > 0 && parts[j].x < parts[j - 1].x; j--) {
      ec_region moved = parts[j];
      parts[j] = parts[j - 1];
      parts[j - 1] = moved;
    }
  for (int cut = 1; cut < count; cut++)
    if (are_two_images(ec_union(parts, cut), ec_union(parts + cut, count - cut), (double)width * height)) return true;
  return false;
}
