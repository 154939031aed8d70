/* JSON, read strictly: UTF-8, no key twice, no number that is not finite, nothing behind the end. */
#ifndef EDGE_CNS_JSON_H
#define EDGE_CNS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum json_kind { JSON_NULL, JSON_BOOL, JSON_INTEGER, JSON_REAL, JSON_TEXT, JSON_LIST, JSON_OBJECT } json_kind;

typedef struct json {
  json_kind kind;
  const char *key;  /* of a member of an object */
  const char *text; /* JSON_TEXT, with its NUL and without others */
  int64_t integer;  /* JSON_INTEGER; JSON_BOOL: 0 or 1 */
  double real;      /* JSON_REAL and JSON_INTEGER */
  int count;        /* of a list's or an object's values */
  struct json *first, *next;
} json;

typedef struct json_document {
  json *root;
  struct json_chunk *chunks;
} json_document;

/* Parse a text of `size` bytes. Returns NULL, or why it cannot be read; then there is nothing to be freed. */
const char *ec_json_parse(const char *text, size_t size, json_document *document);
void ec_json_free(json_document *document);

/* A member of an object, or NULL where there is none or `object` is no object. */
const json *ec_json_member(const json *object, const char *key);

#endif
