#include "classify/arrays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify/inflate.h"

enum { END_SIZE = 22, ENTRY_SIZE = 46, LOCAL_SIZE = 30, STORED = 0, DEFLATED = 8, MOST_HEADER = 4096 };
#define MOST_BYTES ((size_t)512 << 20)

typedef struct member {
  const uint8_t *data;
  size_t packed, unpacked;
  unsigned method;
} member;

static uint32_t little16(const uint8_t *b) { return b[0] | (uint32_t)b[1] << 8; }
static uint32_t little32(const uint8_t *b) { return little16(b) | little16(b + 2) << 16; }

/* Where a member's bytes lie, by its entry of the central directory. */
static bool locate(const uint8_t *archive, size_t size, const uint8_t *entry, member *found) {
  size_t local = little32(entry + 42);
  found->method = little16(entry + 10);
  found->packed = little32(entry + 20);
  found->unpacked = little32(entry + 24);
  if ((little16(entry + 8) & 1u) != 0 || found->unpacked > MOST_BYTES) return false;
  if (size < LOCAL_SIZE || local > size - LOCAL_SIZE || little32(archive + local) != 0x04034b50) return false;
  size_t start = local + LOCAL_SIZE + little16(archive + local + 26) + little16(archive + local + 28);
  if (start > size || found->packed > size - start) return false;
  found->data = archive + start;
  return true;
}

/* Archives of this kind have no comment: the directory's end is the end of the file. */
static bool find(const uint8_t *archive, size_t size, const char *name, member *found) {
  if (size < END_SIZE || little32(archive + size - END_SIZE) != 0x06054b50) return false;
  const uint8_t *end = archive + size - END_SIZE;
  size_t at = little32(end + 16), entries = little16(end + 10), length = strlen(name);
  for (size_t i = 0; i < entries; i++) {
    if (at > size - END_SIZE || size - END_SIZE - at < ENTRY_SIZE) return false;
    const uint8_t *entry = archive + at;
    size_t name_size = little16(entry + 28);
    if (little32(entry) != 0x02014b50 || size - END_SIZE - at - ENTRY_SIZE < name_size) return false;
    const char *text = (const char *)entry + ENTRY_SIZE;
    if (name_size == length + 4 && memcmp(text, name, length) == 0 && memcmp(text + length, ".npy", 4) == 0)
      return locate(archive, size, entry, found);
    at += ENTRY_SIZE + name_size + little16(entry + 30) + little16(entry + 32);
  }
  return false;
}

static bool read_type(const char *text, array *out) {
  static const struct {
    const char *name;
    array_type type;
  } types[] = {{"|u1", ARRAY_UINT8}, {"|i1", ARRAY_INT8}, {"<f4", ARRAY_FLOAT32}};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(text, types[i].name) == 0) {
      out->type = types[i].type;
      return true;
    }
  return false;
}

/* The text that numpy puts before the values: type, order and shape. */
static bool read_header(const char *header, array *out) {
  char type[4];
  int taken = -1;
  if (sscanf(header, "{'descr': '%3[^']', 'fortran_order': False, 'shape': (%n", type, &taken) != 1 || taken < 0)
    return false;
  if (!read_type(type, out)) return false;
  out->count = 1;
  out->axes = 0;
  for (const char *at = header + taken; *at != ')';) {
    char *end;
    unsigned long long side = strtoull(at, &end, 10);
    if (*at < '0' || *at > '9' || out->axes == ARRAY_MOST_AXES) return false;
    if (side > MOST_BYTES || (side > 0 && out->count > MOST_BYTES / side)) return false;
    out->shape[out->axes++] = (size_t)side;
    out->count *= (size_t)side;
    at = end;
    if (*at == ',') at++;
    while (*at == ' ') at++;
  }
  return true;
}

/* Version 1.0 of the format (numpy.lib.format): magic, length of the header, header, values. */
static bool read_array(uint8_t *memory, size_t size, array *out) {
  char header[MOST_HEADER + 1];
  if (size < 10 || memcmp(memory, "\x93NUMPY\x01\x00", 8) != 0) return false;
  size_t length = little16(memory + 8);
  if (length > MOST_HEADER || length > size - 10) return false;
  memcpy(header, memory + 10, length);
  header[length] = '\0';
  if (!read_header(header, out)) return false;
  size_t item = out->type == ARRAY_FLOAT32 ? sizeof(float) : 1;
  out->values = memory + 10 + length; /* numpy fills the header up to a multiple of 64 */
  return (10 + length) % sizeof(float) == 0 && out->count * item == size - 10 - length;
}

bool ec_array_read(const uint8_t *archive, size_t size, const char *name, array *out) {
  member found;
  if (!find(archive, size, name, &found)) return false;
  uint8_t *memory = malloc(found.unpacked + 1);
  bool whole = false;
  if (memory == NULL) return false;
  if (found.method == DEFLATED) {
    whole = ec_inflate_raw(found.data, found.packed, memory, found.unpacked);
  } else if (found.method == STORED && found.packed == found.unpacked) {
    memcpy(memory, found.data, found.unpacked);
    whole = true;
  }
  if (whole && read_array(memory, found.unpacked, out)) {
    out->memory = memory;
    return true;
  }
  free(memory);
  return false;
}

void ec_array_free(array *held) {
  free(held->memory);
  held->memory = NULL;
}
