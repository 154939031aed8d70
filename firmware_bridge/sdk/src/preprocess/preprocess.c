#include "preprocess/preprocess.h"

#include <math.h>
#include <string.h>

#include "preprocess/mode.h"
#include "preprocess/region.h"

#define FINE 2.3   /* below this reduction INTER_AREA itself */
#define TRIPLE 3.4 /* below this three samples for each pixel; from it on four */
#define COARSE 8.0 /* from it on halving first */

enum { MOST_SAMPLES = 4 };

const char *ec_unreadable_text(ec_unreadable why) {
  switch (why) {
    case EC_COLOUR: return "colour over the image (Doppler?): only grey-scale images can be classified";
    case EC_DUAL: return "two images side by side: show one of them alone";
    default: return "";
  }
}

static size_t aligned(size_t bytes) { return (bytes + 15) / 16 * 16; }

static size_t largest(size_t a, size_t b) { return a > b ? a : b; }

/* Scratch of a resize: taps of columns, taps of rows, a picture between two steps, then that of the step. */
typedef struct layout {
  ec_tap *columns, *rows;
  uint8_t *between;
  void *step;
} layout;

static size_t taps_bytes(int count) { return aligned(sizeof(ec_tap) * (size_t)count); }

static layout lay_out(void *scratch, size_t columns, size_t rows, size_t between) {
  uint8_t *bytes = scratch;
  layout made = {(ec_tap *)scratch, (ec_tap *)(bytes + columns), bytes + columns + rows,
                 bytes + columns + rows + aligned(between)};
  return made;
}

static int half(int side) { return (side + 1) / 2; }

size_t ec_resize_scratch(int from_width, int from_height, int to_width, int to_height) {
  /* Between two steps there is a half of the source, or a picture that was not enlarged yet. */
  size_t between = largest((size_t)half(from_width) * (size_t)half(from_height), (size_t)to_width * (size_t)to_height);
  size_t taps =
      taps_bytes(half(from_width) + MOST_SAMPLES * to_width) + taps_bytes(half(from_height) + MOST_SAMPLES * to_height);
  size_t halving = EC_LINEAR_SCRATCH(1, half(from_width), from_width);
  size_t sampling = EC_LINEAR_SCRATCH(MOST_SAMPLES, to_width, from_width);
  size_t step = largest(largest(halving, sampling), ec_area_scratch(from_width, to_width));
  return taps + aligned(between) + step;
}

/* Bilinear by two, or means of 2x2, which is the same where both sides are even. */
static ec_picture halve(const ec_picture *from, uint8_t *pixels, void *scratch) {
  const ec_plane to = {pixels, (size_t)half(from->width), half(from->width), half(from->height)};
  if (from->width % 2 == 0 && from->height % 2 == 0) {
    ec_resize_half(from, &to, scratch);
  } else {
    layout at = lay_out(scratch, taps_bytes(to.width), taps_bytes(to.height), 0);
    ec_column_taps(from->width, to.width, at.columns);
    ec_row_taps(from->height, to.height, at.rows);
    ec_resize_linear(from, &to, at.columns, at.rows, at.step);
  }
  ec_picture made = {pixels, to.stride, to.width, to.height, EC_GREY8, 8};
  return made;
}

static void copy(const ec_picture *from, const ec_plane *to) {
  for (int y = 0; y < to->height; y++) ec_grey_samples(from, y, 1, to->width, to->pixels + (size_t)y * to->stride);
}

static void area(const ec_picture *from, const ec_plane *to, void *scratch) {
  if (from->width == to->width && from->height == to->height)
    copy(from, to);
  else
    ec_resize_area(from, to, scratch);
}

/* One side grows, or both. A side that shrinks is averaged first. */
static void enlarge(const ec_picture *from, const ec_plane *to, void *scratch) {
  const int width = from->width < to->width ? from->width : to->width;
  const int height = from->height < to->height ? from->height : to->height;
  layout at = lay_out(scratch, taps_bytes(to->width), taps_bytes(to->height), (size_t)width * (size_t)height);
  const ec_plane shrunk = {at.between, (size_t)width, width, height};
  area(from, &shrunk, at.step);
  const ec_picture small = {at.between, (size_t)width, width, height, EC_GREY8, 8};
  ec_column_taps(width, to->width, at.columns);
  ec_row_taps(height, to->height, at.rows);
  ec_resize_linear(&small, to, at.columns, at.rows, at.step);
}

static void sample(const ec_picture *from, const ec_plane *to, int samples, void *scratch) {
  layout at = lay_out(scratch, taps_bytes(samples * to->width), taps_bytes(samples * to->height), 0);
  ec_column_taps(from->width, samples * to->width, at.columns);
  ec_row_taps(from->height, samples * to->height, at.rows);
  ec_resize_samples(from, to, samples, at.columns, at.rows, at.step);
}

void ec_resize(const ec_picture *from, const ec_plane *to, void *scratch) {
  ec_picture picture = *from;
  uint8_t *halves = scratch, *rest = scratch;
  double down = (double)from->height / to->height, across = (double)from->width / to->width;
  double reduction = down < across ? down : across;
  if (reduction >= COARSE) rest += aligned((size_t)half(from->width) * (size_t)half(from->height));
  while (reduction >= COARSE) {
    picture = halve(&picture, halves, rest);
    reduction /= 2;
  }
  if (reduction < 1)
    enlarge(&picture, to, rest);
  else if (reduction < FINE)
    area(&picture, to, rest);
  else
    sample(&picture, to, reduction < TRIPLE ? 3 : 4, rest);
}

ec_region ec_fit_within(int width, int height, const ec_input *input) {
  ec_region place = {0, 0, input->width, input->height};
  if (!input->letterbox) return place;
  double across = (double)input->width / width, down = (double)input->height / height;
  double scale = across < down ? across : down;
  long w = lrint(width * scale), h = lrint(height * scale); /* halves to even */
  place.width = w < 1 ? 1 : w > input->width ? input->width : (int)w;
  place.height = h < 1 ? 1 : h > input->height ? input->height : (int)h;
  place.x = (input->width - place.width) / 2;
  place.y = (input->height - place.height) / 2;
  return place;
}

size_t ec_prepare_scratch(const ec_input *input, int most_width, int most_height) {
  size_t look = largest(ec_parts_scratch(most_width, most_height), EC_COLOUR_SCRATCH);
  return largest(look, ec_resize_scratch(most_width, most_height, input->width, input->height));
}

static void render(const ec_picture *crop, const ec_input *input, uint8_t *image, void *scratch) {
  const ec_region place = ec_fit_within(crop->width, crop->height, input);
  memset(image, 0, (size_t)input->width * (size_t)input->height);
  const ec_plane to = {image + (ptrdiff_t)place.y * input->width + place.x, (size_t)input->width, place.width,
                       place.height};
  ec_resize(crop, &to, scratch);
}

bool ec_prepare(const ec_picture *frame, const ec_region *known, const ec_input *input, uint8_t *image, void *scratch,
                ec_prepared *prepared) {
  ec_region parts[EC_MOST_PARTS], region = {0, 0, frame->width, frame->height};
  int count = 0;
  if (input->rule == EC_FIXED) {
    region = input->fixed;
    if (region.x + region.width > frame->width || region.y + region.height > frame->height) return false;
  } else if (input->rule == EC_AUTO && known != NULL) {
    region = *known;
  } else if (input->rule == EC_AUTO) {
    count = ec_find_parts(frame, parts, scratch);
    region = ec_enclosing(frame, parts, count);
  }
  const ec_picture crop = ec_crop(frame, region);
  prepared->region = region;
  prepared->unreadable = EC_READABLE;
  if (ec_is_dual(parts, count, frame->width, frame->height))
    prepared->unreadable = EC_DUAL;
  else if (ec_is_coloured(&crop, scratch))
    prepared->unreadable = EC_COLOUR;
  render(&crop, input, image, scratch);
  return true;
}
