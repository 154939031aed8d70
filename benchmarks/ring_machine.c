/* A machine for benchmarks/ring.py: hands the same frames over in one of several ways, 8-bit grey, at a fixed rate.
 *
 *     ring_machine ring   ring://NAME  WIDTH HEIGHT FPS FRAMES           the SDK, frames drawn in the ring
 *     ring_machine copy   ring://NAME  WIDTH HEIGHT FPS FRAMES           the SDK, frames copied into the ring
 *     ring_machine unix   SOCKET_PATH  WIDTH HEIGHT FPS FRAMES           a copy through a Unix stream socket
 *     ring_machine zmq    ENDPOINT     WIDTH HEIGHT FPS FRAMES LIBZMQ    ZeroMQ push, by its shared library
 *     ring_machine result ring://NAME  WIDTH HEIGHT FPS FRAMES           the SDK, and waits for verdicts
 *
 * The first 16 bytes of a frame are when it was ready (CLOCK_MONOTONIC ns) and its number; all others are the number's
 * lowest byte, but with `result` speckle. `result` prints a line for each verdict: number of the frame, ns from ready to verdict.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "edge_cns.h"

typedef struct settings {
  const char *way, *address, *library;
  uint32_t width, height;
  double fps;
  long frames;
} settings;

static void stop(const char *why) {
  fprintf(stderr, "error: %s\n", why);
  exit(2);
}

static void sleep_until(int64_t then) {
  const struct timespec moment = {.tv_sec = then / 1000000000, .tv_nsec = then % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL) == EINTR) {
  }
}

/* The way of handing over. */
static edge_cns *door;
static int stream = -1;
static void *zmq_socket_of_ours;
static int (*zmq_send_of_library)(void *, const void *, size_t, int);

static void open_ring(const settings *asked) {
  edge_cns_caps caps = EDGE_CNS_CAPS_INIT;
  caps.max_width = asked->width;
  caps.max_height = asked->height;
  if (edge_cns_open(asked->address, &caps, &door) != EDGE_CNS_OK) stop(edge_cns_error());
}

static void open_unix(const settings *asked) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", asked->address);
  stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (stream < 0 || connect(stream, (struct sockaddr *)&address, sizeof address) != 0) stop("no connection");
}

static void *symbol(void *library, const char *name) {
  void *found = dlsym(library, name);
  if (found == NULL) stop(name);
  return found;
}

static void open_zmq(const settings *asked) {
  void *library = dlopen(asked->library, RTLD_NOW);
  if (library == NULL) stop(dlerror());
  void *(*context_new)(void);
  void *(*socket_new)(void *, int);
  int (*connect_to)(void *, const char *);
  *(void **)&context_new = symbol(library, "zmq_ctx_new");
  *(void **)&socket_new = symbol(library, "zmq_socket");
  *(void **)&connect_to = symbol(library, "zmq_connect");
  *(void **)&zmq_send_of_library = symbol(library, "zmq_send");
  zmq_socket_of_ours = socket_new(context_new(), 8 /* ZMQ_PUSH */);
  if (connect_to(zmq_socket_of_ours, asked->address) != 0) stop("no connection");
}

static bool send_ring(const uint8_t *pixels, const settings *asked, int64_t ready) {
  edge_cns_slot slot;
  edge_cns_frame frame = {.format = EDGE_CNS_GREY8, .width = asked->width, .height = asked->height, .captured_ns = ready};
  edge_cns_status status = edge_cns_acquire_slot(door, &slot);
  if (status == EDGE_CNS_OK) {
    memcpy(slot.pixels, pixels, (size_t)asked->width * asked->height);
    status = edge_cns_submit(door, &slot, &frame);
  }
  if (status < 0) stop(edge_cns_error());
  return status == EDGE_CNS_OK;
}

static bool send_unix(const uint8_t *pixels, const settings *asked) {
  size_t left = (size_t)asked->width * asked->height;
  while (left > 0) {
    ssize_t sent = send(stream, pixels, left, MSG_NOSIGNAL);
    if (sent < 0) stop("the reader is gone");
    pixels += sent;
    left -= (size_t)sent;
  }
  return true;
}

static bool hand_over(const uint8_t *pixels, const settings *asked, int64_t ready) {
  if (door != NULL) return send_ring(pixels, asked, ready);
  if (stream >= 0) return send_unix(pixels, asked);
  return zmq_send_of_library(zmq_socket_of_ours, pixels, (size_t)asked->width * asked->height, 0) >= 0;
}

/* Drawn where the classifier will look at it: nothing is copied. */
static bool draw_in_ring(const settings *asked, int64_t number, int64_t due) {
  edge_cns_slot slot;
  edge_cns_frame frame = {.format = EDGE_CNS_GREY8, .width = asked->width, .height = asked->height};
  edge_cns_status status = edge_cns_acquire_slot(door, &slot);
  if (status == EDGE_CNS_OK) {
    memset(slot.pixels, (int)(number & 0xff), (size_t)asked->width * asked->height);
    memcpy(slot.pixels + 8, &number, 8);
  }
  sleep_until(due);
  if (status == EDGE_CNS_OK) {
    frame.captured_ns = edge_cns_now();
    memcpy(slot.pixels, &frame.captured_ns, 8);
    status = edge_cns_submit(door, &slot, &frame);
  }
  if (status < 0) stop(edge_cns_error());
  return status == EDGE_CNS_OK;
}

static atomic_bool ended;

static void *read_results(void *argument) {
  static edge_cns_result result;
  uint64_t last = UINT64_MAX;
  (void)argument;
  while (!ended)
    if (edge_cns_poll_result(door, &result, 100) == EDGE_CNS_OK && result.classes != 0 && result.sequence != last) {
      last = result.sequence;
      printf("%llu %lld\n", (unsigned long long)last, (long long)(edge_cns_now() - result.captured_ns));
    }
  return NULL;
}

static void speckle(uint8_t *pixels, size_t size, uint32_t seed) {
  seed = seed * 2654435761u | 1u;
  for (size_t i = 0; i + 4 <= size; i += 4) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    memcpy(pixels + i, &seed, 4);
  }
}

int main(int count, char **arguments) {
  if (count < 7) stop("usage: ring_machine WAY ADDRESS WIDTH HEIGHT FPS FRAMES [LIBZMQ]");
  settings asked = {arguments[1], arguments[2], count > 7 ? arguments[7] : NULL, (uint32_t)atoi(arguments[3]),
                    (uint32_t)atoi(arguments[4]), atof(arguments[5]), atol(arguments[6])};
  const bool results = strcmp(asked.way, "result") == 0, in_place = strcmp(asked.way, "ring") == 0;
  const size_t size = (size_t)asked.width * asked.height;
  uint8_t *pixels = malloc(size);
  pthread_t reader;
  long lost = 0;
  if (pixels == NULL || size < 16) stop("no frame");
  if (strcmp(asked.way, "unix") == 0) open_unix(&asked);
  else if (strcmp(asked.way, "zmq") == 0) open_zmq(&asked);
  else open_ring(&asked);
  if (results) pthread_create(&reader, NULL, read_results, NULL);
  const int64_t begun = edge_cns_now();
  for (int64_t n = 0; n < asked.frames; n++) {
    const int64_t due = begun + (int64_t)((double)n * 1e9 / asked.fps);
    if (in_place) {
      lost += !draw_in_ring(&asked, n, due);
      continue;
    }
    if (results) speckle(pixels, size, (uint32_t)n);
    else memset(pixels, (int)(n & 0xff), size);
    sleep_until(due);
    const int64_t ready = edge_cns_now();
    if (!results) {
      memcpy(pixels, &ready, 8);
      memcpy(pixels + 8, &n, 8);
    }
    lost += !hand_over(pixels, &asked, ready);
  }
  sleep_until(edge_cns_now() + 500000000);
  ended = true;
  if (results) pthread_join(reader, NULL);
  printf("lost %ld of %ld\n", lost, asked.frames);
  edge_cns_close(door);
  free(pixels);
  return 0;
}
