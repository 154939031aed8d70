#include "classify/inflate.h"

#include <string.h>

enum { LONGEST = 15, LITERALS = 288, DISTANCES = 30, LENGTH_CODES = 19, END_OF_BLOCK = 256 };

typedef struct stream {
  const uint8_t *in;
  size_t in_size, in_at;
  uint32_t bits;
  int held; /* bits in `bits` */
  uint8_t *out;
  size_t out_size, out_at;
  bool damaged;
} stream;

/* A canonical Huffman code: how many codes have each length, and the symbols in the order of their codes. */
typedef struct huffman {
  uint16_t counts[LONGEST + 1];
  uint16_t symbols[LITERALS];
} huffman;

static unsigned take(stream *s, int count) {
  while (s->held < count) {
    if (s->in_at == s->in_size) {
      s->damaged = true;
      return 0;
    }
    s->bits |= (uint32_t)s->in[s->in_at++] << s->held;
    s->held += 8;
  }
  unsigned value = s->bits & ((1u << count) - 1u);
  s->bits >>= count;
  s->held -= count;
  return value;
}

/* Returns false for lengths that no prefix code can have. A code with one symbol, or none, may be incomplete. */
static bool build(huffman *code, const uint8_t *lengths, int count) {
  uint16_t next[LONGEST + 1];
  int left = 1, used = 0;
  memset(code->counts, 0, sizeof code->counts);
  for (int i = 0; i < count; i++) code->counts[lengths[i]]++;
  used = count - code->counts[0];
  code->counts[0] = 0;
  for (int length = 1; length <= LONGEST; length++) {
    left = 2 * left - code->counts[length];
    if (left < 0) return false;
  }
  if (left > 0 && used > 1) return false;
  next[1] = 0;
  for (int length = 1; length < LONGEST; length++) next[length + 1] = (uint16_t)(next[length] + code->counts[length]);
  for (int i = 0; i < count; i++)
    if (lengths[i] != 0) code->symbols[next[lengths[i]]++] = (uint16_t)i;
  return true;
}

static int symbol_of(stream *s, const huffman *code) {
  int value = 0, first = 0, index = 0;
  for (int length = 1; length <= LONGEST; length++) {
    value = value << 1 | (int)take(s, 1);
    int count = code->counts[length];
    if (value - first < count) return s->damaged ? END_OF_BLOCK : code->symbols[index + value - first];
    index += count;
    first = (first + count) << 1;
  }
  s->damaged = true;
  return END_OF_BLOCK;
}

static void put(stream *s, uint8_t byte) {
  if (s->out_at == s->out_size)
    s->damaged = true;
  else
    s->out[s->out_at++] = byte;
}

static void repeat(stream *s, int symbol, const huffman *distances) {
  static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                           31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                          2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  static const uint16_t distance_base[DISTANCES] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                                    33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                                    1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  if (symbol >= 29) {
    s->damaged = true;
    return;
  }
  size_t length = length_base[symbol] + take(s, length_bits[symbol]);
  int code = symbol_of(s, distances);
  if (s->damaged || code >= DISTANCES) {
    s->damaged = true;
    return;
  }
  size_t distance = distance_base[code] + take(s, code < 2 ? 0 : code / 2 - 1);
  if (distance > s->out_at || length > s->out_size - s->out_at) {
    s->damaged = true;
    return;
  }
  for (; length > 0; length--, s->out_at++) s->out[s->out_at] = s->out[s->out_at - distance];
}

static void coded_block(stream *s, const huffman *literals, const huffman *distances) {
  while (!s->damaged) {
    int symbol = symbol_of(s, literals);
    if (symbol < END_OF_BLOCK)
      put(s, (uint8_t)symbol);
    else if (symbol == END_OF_BLOCK)
      return;
    else
      repeat(s, symbol - END_OF_BLOCK - 1, distances);
  }
}

static void stored_block(stream *s) {
  s->bits = 0;
  s->held = 0;
  if (s->in_size - s->in_at < 4) {
    s->damaged = true;
    return;
  }
  const uint8_t *head = s->in + s->in_at;
  size_t length = head[0] | (size_t)head[1] << 8, inverse = head[2] | (size_t)head[3] << 8;
  s->in_at += 4;
  if (length != (~inverse & 0xFFFF) || length > s->in_size - s->in_at || length > s->out_size - s->out_at) {
    s->damaged = true;
    return;
  }
  memcpy(s->out + s->out_at, s->in + s->in_at, length);
  s->in_at += length;
  s->out_at += length;
}

static void fixed_block(stream *s) {
  huffman literals, distances;
  uint8_t lengths[LITERALS];
  memset(lengths, 8, 144);
  memset(lengths + 144, 9, 112);
  memset(lengths + 256, 7, 24);
  memset(lengths + 280, 8, 8);
  build(&literals, lengths, LITERALS);
  memset(lengths, 5, 32); /* two of them stand for nothing */
  build(&distances, lengths, 32);
  coded_block(s, &literals, &distances);
}

/* Lengths of both codes, themselves coded and run-length packed. Returns false for damage. */
static bool read_lengths(stream *s, const huffman *code, uint8_t *lengths, int count) {
  int at = 0;
  while (at < count) {
    int symbol = symbol_of(s, code), times = 1;
    uint8_t value = (uint8_t)symbol;
    if (symbol == 16) {
      if (at == 0) return false;
      value = lengths[at - 1];
      times = 3 + (int)take(s, 2);
    } else if (symbol > 16) {
      value = 0;
      times = symbol == 17 ? 3 + (int)take(s, 3) : 11 + (int)take(s, 7);
    }
    if (s->damaged || times > count - at) return false;
    for (; times > 0; times--) lengths[at++] = value;
  }
  return true;
}

static void dynamic_block(stream *s) {
  static const uint8_t order[LENGTH_CODES] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  huffman code, literals, distances;
  uint8_t lengths[LITERALS + 32] = {0};
  int literal_count = 257 + (int)take(s, 5), distance_count = 1 + (int)take(s, 5), length_count = 4 + (int)take(s, 4);
  for (int i = 0; i < length_count; i++) lengths[order[i]] = (uint8_t)take(s, 3);
  bool fits = !s->damaged && literal_count <= 286 && distance_count <= DISTANCES && build(&code, lengths, LENGTH_CODES);
  fits = fits && read_lengths(s, &code, lengths, literal_count + distance_count) && lengths[END_OF_BLOCK] != 0;
  fits = fits && build(&literals, lengths, literal_count);
  fits = fits && build(&distances, lengths + literal_count, distance_count);
  if (fits)
    coded_block(s, &literals, &distances);
  else
    s->damaged = true;
}

bool ec_inflate_raw(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size) {
  stream s = {.in = in, .in_size = in_size, .out = out, .out_size = out_size};
  unsigned last;
  do {
    last = take(&s, 1);
    switch (take(&s, 2)) {
      case 0: stored_block(&s); break;
      case 1: fixed_block(&s); break;
      case 2: dynamic_block(&s); break;
      default: s.damaged = true;
    }
  } while (!last && !s.damaged);
  return !s.damaged && s.out_at == s.out_size && s.in_at == s.in_size;
}
