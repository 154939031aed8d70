#include "ring/wire.h"

#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "edge-cns supports little-endian machines"
#endif

wire_header ec_wire_make_header(wire_type type) {
  wire_header header = {WIRE_MAGIC, WIRE_VERSION, (uint16_t)type};
  return header;
}

unsigned ec_wire_type_of(const void *message, size_t size) {
  wire_header header;
  if (size < sizeof header) return 0;
  memcpy(&header, message, sizeof header);
  return header.magic == WIRE_MAGIC && header.version == WIRE_VERSION ? header.type : 0;
}

void ec_wire_copy_text(char *to, size_t size, const char *from) {
  size_t length = 0;
  if (size == 0) return;
  while (length < size - 1 && from[length] != '\0') length++;
  if (from[length] != '\0') /* cut: go back to where a character begins */
    while (length > 0 && ((unsigned char)from[length] & 0xC0u) == 0x80u) length--;
  memcpy(to, from, length);
  memset(to + length, 0, size - length);
}

/* Text of a message may lack its end. */
static void read_text(char *to, const char *from, size_t size) {
  memcpy(to, from, size);
  to[size - 1] = '\0';
}

bool ec_wire_read_welcome(const void *message, size_t size, uint32_t *classes, char names[][EDGE_CNS_NAME_SIZE]) {
  wire_welcome welcome;
  if (ec_wire_type_of(message, size) != WIRE_WELCOME || size < sizeof welcome) return false;
  memcpy(&welcome, message, sizeof welcome);
  if (welcome.classes == 0 || welcome.classes > EDGE_CNS_MAX_CLASSES) return false;
  if (size != sizeof welcome + (size_t)welcome.classes * EDGE_CNS_NAME_SIZE) return false;
  const char *text = (const char *)message + sizeof welcome;
  for (uint32_t i = 0; i < welcome.classes; i++)
    read_text(names[i], text + (size_t)i * EDGE_CNS_NAME_SIZE, EDGE_CNS_NAME_SIZE);
  *classes = welcome.classes;
  return true;
}

bool ec_wire_read_refused(const void *message, size_t size, char text[248]) {
  wire_refused refused;
  if (ec_wire_type_of(message, size) != WIRE_REFUSED || size != sizeof refused) return false;
  memcpy(&refused, message, sizeof refused);
  read_text(text, refused.text, sizeof refused.text);
  return true;
}

bool ec_wire_read_release(const void *message, size_t size, uint32_t slots, uint32_t *slot) {
  wire_release release;
  if (ec_wire_type_of(message, size) != WIRE_RELEASE || size != sizeof release) return false;
  memcpy(&release, message, sizeof release);
  if (release.slot >= slots) return false;
  *slot = release.slot;
  return true;
}

static bool is_index(int32_t index, uint32_t classes) { return index >= -1 && index < (int32_t)classes; }

bool ec_wire_read_result(const void *message, size_t size, uint32_t classes, edge_cns_result *result) {
  wire_result read;
  if (ec_wire_type_of(message, size) != WIRE_RESULT || size < sizeof read) return false;
  memcpy(&read, message, sizeof read);
  if (read.state > EDGE_CNS_FROZEN || read.steady_state > EDGE_CNS_FROZEN) return false;
  if (read.outcome > EDGE_CNS_OUTCOME_NO_LISTED_FINDING) return false;
  if (read.classes != 0 && read.classes != classes) return false;
  if (!is_index(read.label, classes) || !is_index(read.steady_label, classes) || !is_index(read.finding, classes))
    return false;
  if (read.state == EDGE_CNS_CLASS && read.label < 0) return false;
  if (read.heat_rows > EDGE_CNS_MAX_HEAT || read.heat_columns > EDGE_CNS_MAX_HEAT) return false;
  size_t heat = (size_t)read.heat_rows * read.heat_columns;
  if (heat > EDGE_CNS_MAX_HEAT || size != sizeof read + 4 * (read.classes + heat)) return false;

  const char *numbers = (const char *)message + sizeof read;
  result->sequence = read.sequence;
  result->captured_ns = read.captured_ns;
  result->emitted_ns = read.emitted_ns;
  result->expires_ns = read.expires_ns;
  result->age_ms = read.age_ms;
  result->latency_ms = read.latency_ms;
  result->state = (edge_cns_state)read.state;
  result->label = read.label;
  result->probability = read.probability;
  result->novelty = read.novelty;
  result->steady_state = (edge_cns_state)read.steady_state;
  result->steady_label = read.steady_label;
  result->steady_probability = read.steady_probability;
  result->frames_behind = read.frames_behind;
  result->flags = read.flags;
  result->frames_seen = read.frames_seen;
  result->frames_classified = read.frames_classified;
  result->frames_dropped = read.frames_dropped;
  result->frames_missed = read.frames_missed;
  result->outcome = (edge_cns_outcome)read.outcome;
  result->finding = read.finding;
  read_text(result->exam, read.exam, sizeof result->exam);
  read_text(result->fetus, read.fetus, sizeof result->fetus);
  read_text(result->view, read.view, sizeof result->view);
  read_text(result->reason, read.reason, sizeof result->reason);
  read_text(result->statement, read.statement, sizeof result->statement);
  result->classes = read.classes;
  memcpy(result->probabilities, numbers, 4 * (size_t)read.classes);
  result->heat_rows = read.heat_rows;
  result->heat_columns = read.heat_columns;
  memcpy(result->heat, numbers + 4 * (size_t)read.classes, 4 * heat);
  return true;
}
