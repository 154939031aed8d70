/* Border following after Suzuki & Abe 1985 (Computer Vision, Graphics, and Image Processing 30:32), outer borders only.
 */
#include "preprocess/outline.h"

#include <stddef.h>

/* Marks: INSIDE is a border pixel, EXIT one whose right neighbour is outside of the part. */
enum { OUTSIDE = 0, FRESH = 1, INSIDE = 2, EXIT = 3 };
enum { EAST = 0, WEST = 4, DIRECTIONS = 8 };

typedef struct point {
  int x, y;
} point;

typedef struct outline {
  int64_t doubled_area; /* signed: by the sense of rotation */
  point least, most;
} outline;

static const point STEPS[DIRECTIONS] = {{1, 0}, {1, -1}, {0, -1}, {-1, -1}, {-1, 0}, {-1, 1}, {0, 1}, {1, 1}};

typedef struct tracer {
  uint8_t *mask; /* of its first pixel inside the frame of zeros */
  ptrdiff_t row;
} tracer;

static uint8_t *at(const tracer *t, point p) { return t->mask + p.y * t->row + p.x; }

static point step(point p, int direction) {
  point next = {p.x + STEPS[direction].x, p.y + STEPS[direction].y};
  return next;
}

static void take_in(outline *o, point from, point to) {
  o->doubled_area += (int64_t)from.x * to.y - (int64_t)to.x * from.y;
  if (to.x < o->least.x) o->least.x = to.x;
  if (to.x > o->most.x) o->most.x = to.x;
  if (to.y > o->most.y) o->most.y = to.y; /* the first pixel is the topmost */
}

/* The first direction, clockwise from the west, in which the part goes on; WEST for a single pixel. */
static int first_direction(const tracer *t, point start) {
  int direction = WEST;
  do direction = (direction + DIRECTIONS - 1) % DIRECTIONS;
  while (direction != WEST && *at(t, step(start, direction)) == OUTSIDE);
  return direction;
}

static outline follow(const tracer *t, point start) {
  outline found = {0, start, start};
  int direction = first_direction(t, start);
  if (direction == WEST) {
    *at(t, start) = EXIT;
    return found;
  }
  const point last = step(start, direction);
  for (point here = start;;) {
    int from = direction, east_is_outside = 0; /* search on, counter-clockwise, from where we came */
    point next;
    do {
      direction = (direction + 1) % DIRECTIONS;
      next = step(here, direction);
      if (*at(t, next) != OUTSIDE) break;
      if (direction == EAST) east_is_outside = 1;
    } while (direction != from);
    if (east_is_outside)
      *at(t, here) = EXIT;
    else if (*at(t, here) == FRESH)
      *at(t, here) = INSIDE;
    take_in(&found, here, next);
    if (next.x == start.x && next.y == start.y && here.x == last.x && here.y == last.y) return found;
    here = next;
    direction = (direction + DIRECTIONS / 2) % DIRECTIONS;
  }
}

static void turn_round(ec_region *boxes, int count) {
  for (int i = 0; i < count / 2; i++) {
    ec_region box = boxes[i];
    boxes[i] = boxes[count - 1 - i];
    boxes[count - 1 - i] = box;
  }
}

int ec_find_outlines(uint8_t *mask, int width, int height, double smallest, ec_region *boxes, int most) {
  const tracer t = {mask + width + 3, width + 2};
  int count = 0;
  for (int y = 0; y < height; y++) {
    const uint8_t *pixel = t.mask + y * t.row;
    int inside = 0; /* of a part whose outline was followed */
    for (int x = 0; x < width; x++) {
      if (pixel[x] == FRESH && pixel[x - 1] == OUTSIDE && !inside) {
        point start = {x, y};
        outline found = follow(&t, start);
        int64_t area = found.doubled_area < 0 ? -found.doubled_area : found.doubled_area;
        if ((double)area >= smallest && count < most) {
          ec_region box = {found.least.x, found.least.y, found.most.x - found.least.x + 1,
                           found.most.y - found.least.y + 1};
          boxes[count++] = box;
        }
      }
      if (pixel[x] == INSIDE) inside = 1;
      if (pixel[x] == EXIT) inside = 0;
    }
  }
  turn_round(boxes, count);
  return count;
}
