#define _GNU_SOURCE
#include "classify/json.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 32, CHUNK = 16384, LONGEST_NUMBER = 64 };

typedef struct json_chunk {
  struct json_chunk *next;
  size_t used, size;
  _Alignas(16) char bytes[];
} json_chunk;

typedef struct parser {
  const char *at, *end;
  json_document *document;
  locale_t locale; /* for numbers, whatever the program's locale is */
  const char *error;
} parser;

static json *parse_value(parser *p, int depth);

static void *fail_with(parser *p, const char *error) {
  if (p->error == NULL) p->error = error;
  return NULL;
}

static void *reserve(parser *p, size_t bytes) {
  json_chunk *chunk = p->document->chunks;
  bytes = (bytes + 15) / 16 * 16;
  if (chunk == NULL || chunk->size - chunk->used < bytes) {
    size_t size = bytes > CHUNK ? bytes : CHUNK;
    chunk = malloc(sizeof *chunk + size);
    if (chunk == NULL) return fail_with(p, "there is no memory for it");
    chunk->next = p->document->chunks;
    chunk->used = 0;
    chunk->size = size;
    p->document->chunks = chunk;
  }
  void *memory = chunk->bytes + chunk->used;
  chunk->used += bytes;
  return memory;
}

static json *make(parser *p, json_kind kind) {
  json *value = reserve(p, sizeof *value);
  if (value != NULL) {
    memset(value, 0, sizeof *value);
    value->kind = kind;
  }
  return value;
}

static void skip_space(parser *p) {
  while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')) p->at++;
}

static bool accept(parser *p, char wanted) {
  skip_space(p);
  if (p->at == p->end || *p->at != wanted) return false;
  p->at++;
  return true;
}

/* Bytes of the UTF-8 character at the beginning; 0 where there is none. */
static size_t character(const char *text, const char *end) {
  const unsigned char *b = (const unsigned char *)text;
  size_t length = b[0] < 0x80 ? 1 : b[0] < 0xC2 ? 0 : b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : b[0] < 0xF5 ? 4 : 0;
  if (length == 0 || length > (size_t)(end - text)) return 0;
  for (size_t i = 1; i < length; i++)
    if ((b[i] & 0xC0) != 0x80) return 0;
  if ((b[0] == 0xE0 && b[1] < 0xA0) || (b[0] == 0xED && b[1] > 0x9F)) return 0; /* overlong; half of a pair */
  if ((b[0] == 0xF0 && b[1] < 0x90) || (b[0] == 0xF4 && b[1] > 0x8F)) return 0; /* overlong; beyond Unicode */
  return length;
}

static bool hexadecimal(parser *p, uint32_t *value) {
  *value = 0;
  if (p->end - p->at < 4) return false;
  for (int i = 0; i < 4; i++) {
    static const char known[] = "0123456789abcdef";
    const char letter = *p->at++;
    const char *found =
        letter == '\0' ? NULL : strchr(known, letter >= 'A' && letter <= 'F' ? letter - 'A' + 'a' : letter);
    if (found == NULL) return false;
    *value = *value << 4 | (uint32_t)(found - known);
  }
  return true;
}

static char *encode(char *out, uint32_t code) {
  if (code < 0x80) {
    *out++ = (char)code;
    return out;
  }
  int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  *out++ = (char)((0xFF00u >> (more + 1) & 0xFFu) | code >> 6 * more);
  while (more-- > 0) *out++ = (char)(0x80u | (code >> 6 * more & 0x3Fu));
  return out;
}

/* What follows a backslash. Returns NULL for what JSON does not know, and for NUL, which no text here has. */
static char *unescape(parser *p, char *out) {
  static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
  uint32_t code, low;
  if (p->at == p->end || *p->at == '\0') return NULL;
  const char *known = strchr(names, *p->at);
  char letter = *p->at++;
  if (known != NULL) {
    *out++ = values[known - names];
    return out;
  }
  if (letter != 'u' || !hexadecimal(p, &code) || code == 0) return NULL;
  if (code >= 0xD800 && code < 0xE000) {
    if (code >= 0xDC00 || p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u') return NULL;
    p->at += 2;
    if (!hexadecimal(p, &low) || low < 0xDC00 || low >= 0xE000) return NULL;
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  return encode(out, code);
}

static const char *parse_text(parser *p) {
  const char *end = p->at; /* behind the opening quotation mark */
  while (end < p->end && *end != '"') end += *end == '\\' && end + 1 < p->end ? 2 : 1;
  if (end >= p->end) return fail_with(p, "a text has no end");
  char *text = reserve(p, (size_t)(end - p->at) + 1), *out = text;
  if (text == NULL) return NULL;
  while (*p->at != '"') {
    if ((unsigned char)*p->at < 0x20) return fail_with(p, "a text has a control character");
    if (*p->at == '\\') {
      p->at++;
      out = unescape(p, out);
      if (out == NULL) return fail_with(p, "a text has an escape that is not JSON");
      continue;
    }
    size_t length = character(p->at, end);
    if (length == 0) return fail_with(p, "it is not UTF-8");
    memcpy(out, p->at, length);
    out += length;
    p->at += length;
  }
  p->at++;
  *out = '\0';
  return text;
}

static const char *digits(const char *at, const char *end) {
  while (at < end && *at >= '0' && *at <= '9') at++;
  return at;
}

static json *parse_number(parser *p) {
  char copy[LONGEST_NUMBER + 1];
  const char *start = p->at, *at = start + (*start == '-'), *whole = at;
  bool real = false;
  at = digits(at, p->end);
  if (at == whole || (*whole == '0' && at > whole + 1)) return fail_with(p, "a number is not JSON");
  if (at < p->end && *at == '.') {
    const char *fraction = at + 1;
    real = true;
    at = digits(fraction, p->end);
    if (at == fraction) return fail_with(p, "a number is not JSON");
  }
  if (at < p->end && (*at == 'e' || *at == 'E')) {
    const char *exponent = at + 1;
    real = true;
    if (exponent < p->end && (*exponent == '+' || *exponent == '-')) exponent++;
    at = digits(exponent, p->end);
    if (at == exponent) return fail_with(p, "a number is not JSON");
  }
  if (at - start > LONGEST_NUMBER) return fail_with(p, "a number has too many digits");
  memcpy(copy, start, (size_t)(at - start));
  copy[at - start] = '\0';
  json *value = make(p, real ? JSON_REAL : JSON_INTEGER);
  if (value == NULL) return NULL;
  value->real = strtod_l(copy, NULL, p->locale);
  if (!isfinite(value->real)) return fail_with(p, "a number is not finite");
  if (!real) {
    if (fabs(value->real) >= 9007199254740992.0) return fail_with(p, "a number is too large"); /* 2^53 */
    value->integer = (int64_t)value->real;
  }
  p->at = at;
  return value;
}

static json *parse_word(parser *p) {
  static const struct {
    const char *word;
    json_kind kind;
    int64_t value;
  } words[] = {{"null", JSON_NULL, 0}, {"true", JSON_BOOL, 1}, {"false", JSON_BOOL, 0}};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t length = strlen(words[i].word);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, words[i].word, length) != 0) continue;
    json *value = make(p, words[i].kind);
    if (value != NULL) value->integer = words[i].value;
    p->at += length;
    return value;
  }
  return fail_with(p, "something is no value of JSON");
}

static const char *parse_key(parser *p, const json *object) {
  if (!accept(p, '"')) return fail_with(p, "a member has no name");
  const char *key = parse_text(p);
  if (key == NULL) return NULL;
  if (ec_json_member(object, key) != NULL) return fail_with(p, "a key occurs twice");
  if (!accept(p, ':')) return fail_with(p, "a member has no value");
  return key;
}

static json *parse_values(parser *p, json_kind kind, int depth) {
  const char close = kind == JSON_LIST ? ']' : '}';
  json *owner = make(p, kind), **last = owner == NULL ? NULL : &owner->first;
  if (owner == NULL || accept(p, close)) return owner;
  do {
    const char *key = kind == JSON_OBJECT ? parse_key(p, owner) : NULL;
    json *value = kind == JSON_OBJECT && key == NULL ? NULL : parse_value(p, depth);
    if (value == NULL) return NULL;
    value->key = key;
    *last = value;
    last = &value->next;
    owner->count++;
  } while (accept(p, ','));
  return accept(p, close) ? owner : fail_with(p, "a list or an object has no end");
}

static json *parse_value(parser *p, int depth) {
  skip_space(p);
  if (p->at == p->end) return fail_with(p, "it ends too early");
  if (depth == DEEPEST) return fail_with(p, "it is nested too deep");
  switch (*p->at) {
    case '{': p->at++; return parse_values(p, JSON_OBJECT, depth + 1);
    case '[': p->at++; return parse_values(p, JSON_LIST, depth + 1);
    case '"': {
      p->at++;
      const char *text = parse_text(p);
      json *value = text == NULL ? NULL : make(p, JSON_TEXT);
      if (value != NULL) value->text = text;
      return value;
    }
    default: return *p->at == '-' || (*p->at >= '0' && *p->at <= '9') ? parse_number(p) : parse_word(p);
  }
}

const char *ec_json_parse(const char *text, size_t size, json_document *document) {
  parser p = {text, text + size, document, (locale_t)0, NULL};
  document->root = NULL;
  document->chunks = NULL;
  p.locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (p.locale == (locale_t)0) return "there is no memory for it";
  document->root = parse_value(&p, 0);
  skip_space(&p);
  if (document->root != NULL && p.at != p.end) fail_with(&p, "something follows its end");
  freelocale(p.locale);
  if (p.error != NULL) ec_json_free(document);
  return p.error;
}

void ec_json_free(json_document *document) {
  while (document->chunks != NULL) {
    json_chunk *next = document->chunks->next;
    free(document->chunks);
    document->chunks = next;
  }
  document->root = NULL;
}

const json *ec_json_member(const json *object, const char *key) {
  if (object == NULL || object->kind != JSON_OBJECT) return NULL;
  for (const json *value = object->first; value != NULL; value = value->next)
    if (strcmp(value->key, key) == 0) return value;
  return NULL;
}
