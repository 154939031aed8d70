/* What passes through the socket: one struct a message, in the byte order of the machine that both sides run on.
 *
 * firmware_bridge/ring/wire.py is the same in Python; tests/firmware_bridge/ring/vectors.json holds both to it.
 *
 *     machine -> classifier   HELLO, with the descriptor of the ring; then FRAME and EVENT
 *     classifier -> machine   WELCOME or REFUSED; then RELEASE and RESULT
 */
#ifndef EDGE_CNS_WIRE_H
#define EDGE_CNS_WIRE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge_cns.h"

#define WIRE_MAGIC 0x53434E45u /* "ENCS" in memory */
#define WIRE_VERSION 1
#define WIRE_LARGEST (sizeof(wire_result) + sizeof(float) * (EDGE_CNS_MAX_CLASSES + EDGE_CNS_MAX_HEAT))
#define WIRE_MAX_MEMORY (UINT64_C(1) << 30)
#define WIRE_FLAG_HEAT_MAP 1u

typedef enum wire_type {
  WIRE_HELLO = 1,
  WIRE_WELCOME = 2,
  WIRE_REFUSED = 3,
  WIRE_FRAME = 16,
  WIRE_EVENT = 17,
  WIRE_RELEASE = 32,
  WIRE_RESULT = 33
} wire_type;

typedef struct wire_header {
  uint32_t magic;
  uint16_t version;
  uint16_t type;
} wire_header;

typedef struct wire_hello {
  wire_header header;
  uint64_t instance;     /* random: tells a machine that came back from another one */
  uint64_t memory_bytes; /* of the ring, whose descriptor comes with this message */
  uint64_t slot_bytes;   /* slot i begins at i * slot_bytes */
  uint32_t slots;
  uint32_t flags;
  char name[EDGE_CNS_NAME_SIZE];
} wire_hello;

typedef struct wire_welcome {
  wire_header header;
  uint32_t classes; /* names of EDGE_CNS_NAME_SIZE bytes that follow */
  uint32_t reserved;
  uint8_t model_sha256[32];
} wire_welcome;

typedef struct wire_refused {
  wire_header header;
  char text[248];
} wire_refused;

typedef struct wire_frame {
  wire_header header;
  uint64_t sequence;
  int64_t captured_ns;
  uint32_t slot;
  uint32_t format;
  uint32_t width;
  uint32_t height;
  uint32_t stride;
  uint32_t bits_stored;
  int32_t region[4];
  double mm_per_pixel[2];
  uint64_t would_block;
} wire_frame;

typedef struct wire_event {
  wire_header header;
  int64_t at_ns;
  uint32_t kind;
  uint32_t reserved;
  char value[EDGE_CNS_VALUE_SIZE];
} wire_event;

typedef struct wire_release {
  wire_header header;
  uint32_t slot;
  uint32_t reserved;
} wire_release;

typedef struct wire_result {
  wire_header header;
  uint64_t sequence;
  int64_t captured_ns;
  int64_t emitted_ns;
  int64_t expires_ns;
  double age_ms;
  double latency_ms;
  uint32_t state;
  int32_t label;
  float probability;
  float novelty;
  uint32_t steady_state;
  int32_t steady_label;
  float steady_probability;
  uint32_t frames_behind;
  uint32_t flags;
  uint32_t outcome;
  int32_t finding;
  uint32_t reserved;
  uint64_t frames_seen;
  uint64_t frames_classified;
  uint64_t frames_dropped;
  uint64_t frames_missed;
  char exam[EDGE_CNS_VALUE_SIZE];
  char fetus[EDGE_CNS_NAME_SIZE];
  char view[EDGE_CNS_NAME_SIZE];
  char reason[256];
  char statement[256];
  uint32_t classes;      /* float numbers that follow */
  uint32_t heat_rows;    /* rows * columns more of them */
  uint32_t heat_columns;
  uint32_t reserved_too;
} wire_result;

static_assert(sizeof(wire_hello) == 104, "no padding");
static_assert(sizeof(wire_welcome) == 48, "no padding");
static_assert(sizeof(wire_refused) == 256, "no padding");
static_assert(sizeof(wire_frame) == 88, "no padding");
static_assert(sizeof(wire_event) == 152, "no padding");
static_assert(sizeof(wire_release) == 16, "no padding");
static_assert(sizeof(wire_result) == 920, "no padding");

/* Header of a message of this type. */
wire_header ec_wire_make_header(wire_type type);

/* Type of a message; 0 for what is none of this version. */
unsigned ec_wire_type_of(const void *message, size_t size);

/* Read a message. `false` for one that cannot be right: its size does not fit, a number is out of range. Text is always
 * terminated. */
bool ec_wire_read_welcome(const void *message, size_t size, uint32_t *classes, char names[][EDGE_CNS_NAME_SIZE]);
bool ec_wire_read_refused(const void *message, size_t size, char text[248]);
bool ec_wire_read_release(const void *message, size_t size, uint32_t slots, uint32_t *slot);
bool ec_wire_read_result(const void *message, size_t size, uint32_t classes, edge_cns_result *result);

/* Copy text, cut to size and terminated; no part of a UTF-8 character is left at the end. */
void ec_wire_copy_text(char *to, size_t size, const char *from);

#endif
