/* A machine that draws its frames: a fan of speckle, new in every frame. It shows every verdict that comes back.
 *
 *     edge-cns run NAME.cns --source ring://cart
 *     edge_cns_draw ring://cart [SECONDS [FPS [WIDTH HEIGHT]]]
 *
 * Research use only. Not a medical device.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "edge_cns.h"

static atomic_bool ended;

static const char *state_name(edge_cns_state state) {
  switch (state) {
    case EDGE_CNS_CLASS: return "class";
    case EDGE_CNS_INDETERMINATE: return "indeterminate";
    case EDGE_CNS_NOT_SUPPORTED_VIEW: return "not a supported view";
    case EDGE_CNS_FROZEN: return "frozen";
    case EDGE_CNS_NO_SIGNAL: break;
  }
  return "no signal";
}

static void sleep_until(int64_t then) {
  const struct timespec moment = {.tv_sec = then / 1000000000, .tv_nsec = then % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL) != 0) {
  }
}

/* A thread of its own for results: a screen must say so when none come. */
static void *show(void *argument) {
  edge_cns *door = argument;
  static edge_cns_result result; /* zeroed: no signal */
  edge_cns_state shown = EDGE_CNS_NO_SIGNAL;
  while (!ended) {
    edge_cns_status status = edge_cns_poll_result(door, &result, 100);
    if (status < 0) sleep_until(edge_cns_now() + 100000000); /* the drawing thread connects again */
    edge_cns_state now = edge_cns_state_at(&result, edge_cns_now());
    if (now != shown)
      printf("%s %s, age %.1f ms: %s\n", state_name(now),
             now == EDGE_CNS_CLASS ? edge_cns_class_name(door, result.label) : "", result.age_ms, result.reason);
    shown = now;
  }
  return NULL;
}

static uint32_t noise(uint32_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 17;
  return *seed ^= *seed << 5;
}

static void draw(uint8_t *pixels, uint32_t width, uint32_t height, uint32_t *seed) {
  const double slope = 0.7; /* 35 degrees to either side */
  memset(pixels, 0, (size_t)width * height);
  for (uint32_t y = height / 10; y < height - height / 20; y++) {
    double reach = slope * y;
    uint32_t left = reach < width / 2.0 ? (uint32_t)(width / 2.0 - reach) : 0;
    for (uint32_t x = left; x < width - left; x++) pixels[(size_t)y * width + x] = (uint8_t)(20 + noise(seed) % 120);
  }
}

static edge_cns_status hand_over(edge_cns *door, uint32_t width, uint32_t height, uint32_t *seed) {
  edge_cns_slot slot;
  edge_cns_frame frame = {.format = EDGE_CNS_GREY8, .width = width, .height = height};
  edge_cns_status status = edge_cns_acquire_slot(door, &slot);
  if (status != EDGE_CNS_OK) return status;
  draw(slot.pixels, width, height, seed);
  return edge_cns_submit(door, &slot, &frame);
}

int main(int count, char **arguments) {
  const char *uri = count > 1 ? arguments[1] : "ring://cart";
  const double seconds = count > 2 ? atof(arguments[2]) : 10, fps = count > 3 ? atof(arguments[3]) : 30;
  edge_cns_caps caps = EDGE_CNS_CAPS_INIT;
  edge_cns *door;
  pthread_t shower;
  uint32_t seed = 1;
  if (count > 5) {
    caps.max_width = (uint32_t)atoi(arguments[4]);
    caps.max_height = (uint32_t)atoi(arguments[5]);
  }
  strcpy(caps.name, "edge_cns_draw");
  if (seconds <= 0 || fps <= 0 || edge_cns_open(uri, &caps, &door) != EDGE_CNS_OK) {
    fprintf(stderr, "error: %s\n", seconds <= 0 || fps <= 0 ? "give positive numbers" : edge_cns_error());
    return 2;
  }
  pthread_create(&shower, NULL, show, door);
  edge_cns_event(door, EDGE_CNS_EXAM_START, "exam-1");
  const int64_t begun = edge_cns_now(), end = begun + (int64_t)(seconds * 1e9);
  for (int64_t n = 1, due = begun; due < end; n++) {
    if (hand_over(door, caps.max_width, caps.max_height, &seed) < 0 && edge_cns_reconnect(door) != EDGE_CNS_OK)
      sleep_until(edge_cns_now() + 500000000);
    due = begun + (int64_t)((double)n * 1e9 / fps);
    sleep_until(due);
  }
  edge_cns_event(door, EDGE_CNS_EXAM_END, NULL);
  ended = true;
  pthread_join(shower, NULL);
  edge_cns_counts counts;
  edge_cns_get_counts(door, &counts);
  printf("submitted %llu, would block %llu, released %llu, results %llu (lost %llu)\n",
         (unsigned long long)counts.submitted, (unsigned long long)counts.would_block,
         (unsigned long long)counts.released, (unsigned long long)counts.results,
         (unsigned long long)counts.results_lost);
  edge_cns_close(door);
  return 0;
}
