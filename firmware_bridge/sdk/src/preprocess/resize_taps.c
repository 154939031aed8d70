#include <math.h>

#include "preprocess/resize.h"

#define UNIT 2048.0f

/* Where sample `index` of `to` lies among `from` pixels, rounded as OpenCV rounds it. */
static float position(int index, double scale) {
  double place = (index + 0.5) * scale;
  return (float)(place - 0.5);
}

static double scale_of(int from, int to) { return 1.0 / ((double)to / from); }

static uint16_t weight(float share) { return (uint16_t)lrintf(share * UNIT); } /* halves to even */

void ec_column_taps(int from, int to, ec_tap *taps) {
  const double scale = scale_of(from, to);
  for (int i = 0; i < to; i++) {
    float place = position(i, scale);
    int first = (int)floorf(place);
    float share = place - (float)first;
    if (first < 0 || first >= from - 1) { /* beyond the edge it is the edge's pixel */
      first = first < 0 ? 0 : from - 1;
      share = 0;
    }
    taps[i].first = (uint16_t)first;
    taps[i].second = (uint16_t)(first + 1 < from ? first + 1 : first);
    taps[i].first_weight = weight(1.0f - share);
    taps[i].second_weight = weight(share);
  }
}

/* Beyond the edge both are the edge's pixel, but weighed apart: each product is rounded down. */
void ec_row_taps(int from, int to, ec_tap *taps) {
  const double scale = scale_of(from, to);
  for (int i = 0; i < to; i++) {
    float place = position(i, scale);
    int first = (int)floorf(place);
    float share = place - (float)first;
    taps[i].first = (uint16_t)(first < 0 ? 0 : first);
    taps[i].second = (uint16_t)(first + 1 < from ? first + 1 : from - 1);
    taps[i].first_weight = weight(1.0f - share);
    taps[i].second_weight = weight(share);
  }
}
