/* The public functions. One lock guards a door; nobody holds it while waiting. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "ring/channel.h"
#include "edge_cns.h"
#include "failure.h"
#include "ring/memory.h"
#include "ring/results.h"
#include "ring/told.h"
#include "ring/wire.h"

#define SCHEME "ring://"

typedef enum owner { FREE = 0, OURS, THEIRS } owner;

struct edge_cns {
  pthread_mutex_t lock;
  edge_cns_caps caps;
  char ring[EDGE_CNS_NAME_SIZE];
  uint64_t instance, frame_bytes;
  int channel;  /* -1 while disconnected */
  int wake;     /* an eventfd: whoever waits for a result has to look again */
  ring_memory memory;
  owner owners[EDGE_CNS_MAX_SLOTS];
  uint64_t sequence;
  edge_cns_counts counts;
  told told;
  results results;
  uint32_t classes, classes_offered;
  char names[EDGE_CNS_MAX_CLASSES][EDGE_CNS_NAME_SIZE];
  char names_offered[EDGE_CNS_MAX_CLASSES][EDGE_CNS_NAME_SIZE];
  union {
    wire_result aligned;
    uint8_t bytes[WIRE_LARGEST];
  } message;
};

int64_t edge_cns_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

const char *edge_cns_version(void) { return EDGE_CNS_VERSION; }

edge_cns_state edge_cns_state_at(const edge_cns_result *result, int64_t now_ns) {
  return now_ns < result->expires_ns ? result->state : EDGE_CNS_NO_SIGNAL;
}

/* The connection, once there is one. All of this is called with the lock held. */

static void look_again(const edge_cns *door) {
  const uint64_t one = 1;
  ssize_t written = write(door->wake, &one, sizeof one); /* fails only when it is readable already */
  (void)written;
}

static edge_cns_status disconnect(edge_cns *door, edge_cns_status status) {
  if (door->channel >= 0) {
    close(door->channel);
    door->channel = -1;
    door->counts.lost_connections++;
    look_again(door);
  }
  return status;
}

static edge_cns_status gone(void) {
  return ec_fail(EDGE_CNS_DISCONNECTED, "the classifier is gone; call edge_cns_reconnect");
}

static edge_cns_status took(edge_cns *door, size_t size) {
  uint32_t slot;
  switch (ec_wire_type_of(door->message.bytes, size)) {
    case WIRE_RELEASE:
      if (!ec_wire_read_release(door->message.bytes, size, door->memory.slots, &slot)) break;
      if (door->owners[slot] != THEIRS) break; /* it would be given out twice */
      door->owners[slot] = FREE;
      door->counts.released++;
      return EDGE_CNS_OK;
    case WIRE_RESULT:
      if (!ec_wire_read_result(door->message.bytes, size, door->classes, ec_results_next(&door->results))) break;
      door->counts.results++;
      if (!ec_results_push(&door->results)) door->counts.results_lost++;
      look_again(door);
      return EDGE_CNS_OK;
    default: break;
  }
  return disconnect(door, ec_fail(EDGE_CNS_PROTOCOL, "the classifier sent a message that this SDK %s cannot read",
                               EDGE_CNS_VERSION));
}

/* Take everything that has come. OK unless the connection is lost. */
static edge_cns_status drain(edge_cns *door) {
  while (door->channel >= 0) {
    size_t size;
    edge_cns_status status = ec_channel_receive(door->channel, door->message.bytes, sizeof door->message, &size);
    if (status == EDGE_CNS_WOULD_BLOCK) return EDGE_CNS_OK;
    if (status != EDGE_CNS_OK) return disconnect(door, status);
    status = took(door, size);
    if (status != EDGE_CNS_OK) return status;
  }
  return gone();
}

/* Say what has not been said yet. WOULD_BLOCK when the classifier does not listen now. */
static edge_cns_status tell(edge_cns *door) {
  const wire_event *event;
  while ((event = ec_told_next(&door->told)) != NULL) {
    edge_cns_status status = ec_channel_send(door->channel, event, sizeof *event, -1);
    if (status == EDGE_CNS_DISCONNECTED) return disconnect(door, status);
    if (status != EDGE_CNS_OK) return status;
    ec_told_sent(&door->told, event);
  }
  return EDGE_CNS_OK;
}

/* A new connection. Until it is there nobody else looks at the message buffer, so that no lock is held meanwhile. */

/* Names that a machine has shown must go on meaning the same. */
static edge_cns_status keep_names(edge_cns *door) {
  if (door->classes == 0) {
    door->classes = door->classes_offered;
    memcpy(door->names, door->names_offered, sizeof door->names);
  }
  const size_t size = (size_t)door->classes * sizeof door->names[0];
  if (door->classes_offered == door->classes && memcmp(door->names, door->names_offered, size) == 0) return EDGE_CNS_OK;
  return ec_fail(EDGE_CNS_REFUSED, "the classifier has other classes than before; close the door, and open it again");
}

static edge_cns_status read_answer(edge_cns *door, int channel) {
  const int64_t until = edge_cns_now() + EDGE_CNS_HANDSHAKE_MS * INT64_C(1000000);
  size_t size = 0;
  edge_cns_status status;
  char text[248];
  while ((status = ec_channel_receive(channel, door->message.bytes, sizeof door->message, &size)) == EDGE_CNS_WOULD_BLOCK) {
    if (edge_cns_now() >= until)
      return ec_fail(EDGE_CNS_UNAVAILABLE, "the classifier did not answer within %d ms", EDGE_CNS_HANDSHAKE_MS);
    ec_channel_wait(channel, -1, until);
  }
  if (status != EDGE_CNS_OK) return status;
  if (ec_wire_read_welcome(door->message.bytes, size, &door->classes_offered, door->names_offered)) return keep_names(door);
  if (ec_wire_read_refused(door->message.bytes, size, text)) return ec_fail(EDGE_CNS_REFUSED, "%s", text);
  return ec_fail(EDGE_CNS_PROTOCOL, "what serves the ring does not speak version %d of its messages", WIRE_VERSION);
}

static edge_cns_status shake_hands(edge_cns *door, int channel, const ring_memory *memory) {
  wire_hello hello = {
      .header = ec_wire_make_header(WIRE_HELLO),
      .instance = door->instance,
      .memory_bytes = memory->size,
      .slot_bytes = memory->slot_bytes,
      .slots = memory->slots,
      .flags = door->caps.heat_map ? WIRE_FLAG_HEAT_MAP : 0,
  };
  ec_wire_copy_text(hello.name, sizeof hello.name, door->caps.name);
  edge_cns_status status = ec_channel_send(channel, &hello, sizeof hello, memory->descriptor);
  if (status != EDGE_CNS_OK && status != EDGE_CNS_DISCONNECTED) return status;
  return read_answer(door, channel); /* who hung up may have said why */
}

/* A new ring for every connection: the classifier that is gone may still look at the old one. */
static edge_cns_status make_connection(edge_cns *door) {
  int channel;
  ring_memory memory = {.descriptor = -1};
  edge_cns_status status = ec_channel_connect(door->ring, door->caps.peer_uid, &channel);
  if (status != EDGE_CNS_OK) return status;
  status = ec_ring_memory_make(&memory, door->frame_bytes, door->caps.slots);
  if (status == EDGE_CNS_OK) status = shake_hands(door, channel, &memory);
  if (status != EDGE_CNS_OK) {
    ec_ring_memory_free(&memory);
    close(channel);
    return status;
  }
  pthread_mutex_lock(&door->lock);
  ec_ring_memory_free(&door->memory);
  door->memory = memory;
  door->channel = channel;
  memset(door->owners, 0, sizeof door->owners);
  ec_told_again(&door->told);
  look_again(door);
  status = tell(door);
  pthread_mutex_unlock(&door->lock);
  return status == EDGE_CNS_WOULD_BLOCK ? EDGE_CNS_OK : status;
}

/* Opening and closing. */

static edge_cns_status read_uri(const char *uri, char ring[EDGE_CNS_NAME_SIZE]) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  const char *name = uri + strlen(SCHEME);
  if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0 || name[0] == '\0' || name[strspn(name, letters)] != '\0' ||
      strlen(name) >= EDGE_CNS_NAME_SIZE)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "%.80s is no ring; give ring://NAME with letters, digits, dots and dashes", uri);
  ec_wire_copy_text(ring, EDGE_CNS_NAME_SIZE, name);
  return EDGE_CNS_OK;
}

static edge_cns_status read_caps(const edge_cns_caps *caps, uint64_t *frame_bytes) {
  if (caps->size != sizeof *caps)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "caps.size is %zu; begin with EDGE_CNS_CAPS_INIT of this header", caps->size);
  if (caps->max_width < 64 || caps->max_width > EDGE_CNS_MAX_SIDE || caps->max_height < 64 ||
      caps->max_height > EDGE_CNS_MAX_SIDE)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "caps say %ux%u px; both sides are 64 to %d", caps->max_width, caps->max_height,
                EDGE_CNS_MAX_SIDE);
  if (caps->max_bytes_per_pixel < 1 || caps->max_bytes_per_pixel > 3)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "caps.max_bytes_per_pixel is %u; give 1, 2 or 3", caps->max_bytes_per_pixel);
  if (caps->slots < 3 || caps->slots > EDGE_CNS_MAX_SLOTS)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "caps.slots is %u; give 3 to %d", caps->slots, EDGE_CNS_MAX_SLOTS);
  uint64_t row = (uint64_t)caps->max_width * caps->max_bytes_per_pixel;
  if (caps->max_stride != 0 && caps->max_stride < row)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "caps.max_stride is %u, less than a row", caps->max_stride);
  *frame_bytes = (caps->max_stride != 0 ? caps->max_stride : row) * caps->max_height;
  return EDGE_CNS_OK;
}

edge_cns_status edge_cns_open(const char *uri, const edge_cns_caps *caps, edge_cns **door) {
  if (door != NULL) *door = NULL;
  if (uri == NULL || caps == NULL || door == NULL) return ec_fail(EDGE_CNS_BAD_ARGUMENT, "edge_cns_open was given NULL");
  edge_cns *made = calloc(1, sizeof *made);
  if (made == NULL) return ec_fail(EDGE_CNS_SYSTEM, "no memory for a door");
  made->channel = made->wake = made->memory.descriptor = -1;
  pthread_mutex_init(&made->lock, NULL);
  edge_cns_status status = read_uri(uri, made->ring);
  if (status == EDGE_CNS_OK) status = read_caps(caps, &made->frame_bytes);
  if (status == EDGE_CNS_OK) {
    made->caps = *caps;
    made->caps.name[sizeof made->caps.name - 1] = '\0';
    made->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (made->wake < 0 || getrandom(&made->instance, sizeof made->instance, 0) != (ssize_t)sizeof made->instance)
      status = ec_fail_errno(EDGE_CNS_SYSTEM, "no eventfd or no random number");
  }
  if (status == EDGE_CNS_OK) status = make_connection(made);
  if (status != EDGE_CNS_OK) {
    edge_cns_close(made);
    return status;
  }
  *door = made;
  return EDGE_CNS_OK;
}

edge_cns_status edge_cns_reconnect(edge_cns *door) {
  pthread_mutex_lock(&door->lock);
  const bool connected = door->channel >= 0;
  pthread_mutex_unlock(&door->lock);
  return connected ? EDGE_CNS_OK : make_connection(door);
}

void edge_cns_close(edge_cns *door) {
  if (door == NULL) return;
  if (door->channel >= 0) close(door->channel);
  if (door->wake >= 0) close(door->wake);
  ec_ring_memory_free(&door->memory);
  pthread_mutex_destroy(&door->lock);
  free(door);
}

/* Frames and events. */

static edge_cns_status take_slot(edge_cns *door, edge_cns_slot *slot) {
  for (uint32_t i = 0; i < door->memory.slots; i++) {
    if (door->owners[i] != FREE) continue;
    door->owners[i] = OURS;
    door->counts.acquired++;
    slot->index = i;
    slot->pixels = door->memory.bytes + i * door->memory.slot_bytes;
    slot->capacity = (size_t)door->memory.slot_bytes;
    return EDGE_CNS_OK;
  }
  return EDGE_CNS_WOULD_BLOCK;
}

edge_cns_status edge_cns_acquire_slot(edge_cns *door, edge_cns_slot *slot) {
  memset(slot, 0, sizeof *slot);
  pthread_mutex_lock(&door->lock);
  slot->sequence = door->sequence++; /* a number that is never used tells the classifier of a lost frame */
  edge_cns_status status = drain(door);
  if (status == EDGE_CNS_OK) status = tell(door);
  if (status == EDGE_CNS_OK) status = take_slot(door, slot);
  if (status == EDGE_CNS_WOULD_BLOCK) door->counts.would_block++;
  pthread_mutex_unlock(&door->lock);
  return status;
}

static edge_cns_status check_frame(const edge_cns_frame *frame, uint64_t slot_bytes, uint32_t *stride) {
  if (frame->format < EDGE_CNS_GREY8 || frame->format > EDGE_CNS_BGR8)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "frame.format is %d", (int)frame->format);
  if (frame->width < 64 || frame->width > EDGE_CNS_MAX_SIDE || frame->height < 64 || frame->height > EDGE_CNS_MAX_SIDE)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "frame is %ux%u px; both sides are 64 to %d", frame->width, frame->height,
                EDGE_CNS_MAX_SIDE);
  uint32_t row = frame->width * (uint32_t)frame->format; /* a format's number is its bytes per pixel */
  *stride = frame->stride != 0 ? frame->stride : row;
  if (*stride < row || (frame->format == EDGE_CNS_GREY16 && *stride % 2 != 0))
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "frame.stride is %u; a row has %u bytes", frame->stride, row);
  if ((uint64_t)*stride * (frame->height - 1) + row > slot_bytes)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "a frame of %ux%u px with stride %u is larger than the caps", frame->width,
                frame->height, *stride);
  const int32_t *region = frame->region;
  if (region[2] != 0 &&
      (region[0] < 0 || region[1] < 0 || region[2] < 0 || region[3] < 1 ||
       (int64_t)region[0] + region[2] > frame->width || (int64_t)region[1] + region[3] > frame->height))
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "frame.region %d,%d %dx%d is not inside the frame", region[0], region[1],
                region[2], region[3]);
  if (frame->bits_stored != 0 && (frame->bits_stored < 8 || frame->bits_stored > 16))
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "frame.bits_stored is %u; give 8 to 16, or 0", frame->bits_stored);
  return EDGE_CNS_OK;
}

static edge_cns_status hand_over(edge_cns *door, const edge_cns_slot *slot, const edge_cns_frame *frame) {
  wire_frame message = {
      .header = ec_wire_make_header(WIRE_FRAME),
      .sequence = slot->sequence,
      .captured_ns = frame->captured_ns > 0 ? frame->captured_ns : edge_cns_now(),
      .slot = slot->index,
      .format = (uint32_t)frame->format,
      .width = frame->width,
      .height = frame->height,
      .bits_stored = frame->bits_stored,
      .would_block = door->counts.would_block,
  };
  edge_cns_status status = check_frame(frame, door->memory.slot_bytes, &message.stride);
  if (status != EDGE_CNS_OK) return status;
  memcpy(message.region, frame->region, sizeof message.region);
  memcpy(message.mm_per_pixel, frame->mm_per_pixel, sizeof message.mm_per_pixel);
  status = tell(door); /* what was said before this frame comes before it */
  if (status == EDGE_CNS_OK) status = ec_channel_send(door->channel, &message, sizeof message, -1);
  if (status == EDGE_CNS_WOULD_BLOCK) door->counts.would_block++;
  return status == EDGE_CNS_DISCONNECTED ? disconnect(door, status) : status;
}

edge_cns_status edge_cns_submit(edge_cns *door, const edge_cns_slot *slot, const edge_cns_frame *frame) {
  pthread_mutex_lock(&door->lock);
  edge_cns_status status;
  if (slot->index >= door->memory.slots || door->owners[slot->index] != OURS) {
    status = ec_fail(EDGE_CNS_BAD_ARGUMENT, "slot %u was not acquired", slot->index);
  } else {
    status = door->channel >= 0 ? hand_over(door, slot, frame) : gone();
    door->owners[slot->index] = status == EDGE_CNS_OK ? THEIRS : FREE;
    door->counts.submitted += status == EDGE_CNS_OK;
  }
  pthread_mutex_unlock(&door->lock);
  return status;
}

void edge_cns_give_back(edge_cns *door, const edge_cns_slot *slot) {
  pthread_mutex_lock(&door->lock);
  if (slot->index < door->memory.slots && door->owners[slot->index] == OURS) door->owners[slot->index] = FREE;
  pthread_mutex_unlock(&door->lock);
}

edge_cns_status edge_cns_event(edge_cns *door, edge_cns_event_kind kind, const char *value) {
  pthread_mutex_lock(&door->lock);
  edge_cns_status status;
  if (!ec_told_remember(&door->told, kind, value, edge_cns_now()))
    status = ec_fail(EDGE_CNS_BAD_ARGUMENT, "there is no event %d", (int)kind);
  else
    status = door->channel >= 0 ? tell(door) : gone();
  pthread_mutex_unlock(&door->lock);
  return status == EDGE_CNS_WOULD_BLOCK ? EDGE_CNS_OK : status; /* it goes out before the next frame does */
}

/* Results. */

edge_cns_status edge_cns_poll_result(edge_cns *door, edge_cns_result *result, int timeout_ms) {
  const int64_t until = timeout_ms < 0 ? INT64_MAX : edge_cns_now() + timeout_ms * INT64_C(1000000);
  for (;;) {
    uint64_t count;
    ssize_t got = read(door->wake, &count, sizeof count); /* before looking, so that nothing is missed after it */
    (void)got;
    pthread_mutex_lock(&door->lock);
    edge_cns_status status = drain(door);
    const bool popped = ec_results_pop(&door->results, result);
    const int channel = door->channel;
    pthread_mutex_unlock(&door->lock);
    if (popped) return EDGE_CNS_OK;
    if (status != EDGE_CNS_OK) return status;
    if (edge_cns_now() >= until) return EDGE_CNS_TIMEOUT;
    ec_channel_wait(channel, door->wake, until);
  }
}

/* What is known. */

uint32_t edge_cns_class_count(const edge_cns *door) { return door->classes; }

const char *edge_cns_class_name(const edge_cns *door, int32_t index) {
  return index >= 0 && (uint32_t)index < door->classes ? door->names[index] : "";
}

void edge_cns_get_counts(edge_cns *door, edge_cns_counts *counts) {
  pthread_mutex_lock(&door->lock);
  *counts = door->counts;
  pthread_mutex_unlock(&door->lock);
}
