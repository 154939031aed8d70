#include "classify/schema.h"

#include <stdio.h>
#include <string.h>

#include "failure.h"
#include "edge_cns.h"

enum { LONGEST_PLACE = 160 };

static edge_cns_status check_value(const json *value, const schema *field, schema_kind kind, const char *place);

static const schema *find(const schema *fields, const char *name) {
  for (; fields->name != NULL; fields++)
    if (strcmp(fields->name, name) == 0) return fields;
  return NULL;
}

static edge_cns_status check_list(const json *list, const schema *field, const char *place) {
  if (field->exactly != 0 && list->count != field->exactly)
    return ec_fail(EDGE_CNS_UNUSABLE, "%s has %d values, expected %d", place, list->count, field->exactly);
  for (const json *item = list->first; item != NULL; item = item->next) {
    edge_cns_status status = check_value(item, field, field->items, place);
    if (status != EDGE_CNS_OK) return status;
  }
  return EDGE_CNS_OK;
}

static edge_cns_status check_word(const json *value, const schema *field, const char *place) {
  for (const char *const *word = field->words; word != NULL; word++) {
    if (*word == NULL)
      return ec_fail(EDGE_CNS_UNUSABLE, "%s is \"%.40s\", which this SDK does not know", place, value->text);
    if (strcmp(*word, value->text) == 0) break;
  }
  return EDGE_CNS_OK;
}

static edge_cns_status check_value(const json *value, const schema *field, schema_kind kind, const char *place) {
  static const json_kind wanted[] = {JSON_BOOL, JSON_INTEGER, JSON_REAL, JSON_TEXT, JSON_OBJECT, JSON_LIST};
  static const char *const names[] = {"true or false", "a whole number", "a number", "a text", "an object", "a list"};
  bool whole = kind == WANT_REAL && value->kind == JSON_INTEGER;
  if (value->kind != wanted[kind] && !whole) return ec_fail(EDGE_CNS_UNUSABLE, "%s is not %s", place, names[kind]);
  if (kind == WANT_OBJECT) return ec_schema_check(value, field->fields, place);
  if (kind == WANT_LIST) return check_list(value, field, place);
  return kind == WANT_TEXT ? check_word(value, field, place) : EDGE_CNS_OK;
}

edge_cns_status ec_schema_check(const json *object, const schema *fields, const char *where) {
  char place[LONGEST_PLACE];
  if (object->kind != JSON_OBJECT) return ec_fail(EDGE_CNS_UNUSABLE, "%s is not an object", where);
  for (const json *value = object->first; value != NULL; value = value->next)
    if (find(fields, value->key) == NULL)
      return ec_fail(EDGE_CNS_UNUSABLE, "%s has an unknown field \"%.40s\"; it may need a newer SDK", where, value->key);
  for (; fields->name != NULL; fields++) {
    const json *value = ec_json_member(object, fields->name);
    if (value == NULL) return ec_fail(EDGE_CNS_UNUSABLE, "%s lacks the field \"%s\"", where, fields->name);
    if (value->kind == JSON_NULL && fields->nullable) continue;
    snprintf(place, sizeof place, "%s.%s", where, fields->name);
    edge_cns_status status = check_value(value, fields, fields->kind, place);
    if (status != EDGE_CNS_OK) return status;
  }
  return EDGE_CNS_OK;
}
