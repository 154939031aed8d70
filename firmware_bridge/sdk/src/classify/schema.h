/* Whether parsed JSON has exactly the fields, and the kinds of values, that a table names. */
#ifndef EDGE_CNS_SCHEMA_H
#define EDGE_CNS_SCHEMA_H

#include "edge_cns.h"
#include "classify/json.h"

typedef enum schema_kind { WANT_BOOL, WANT_INTEGER, WANT_REAL, WANT_TEXT, WANT_OBJECT, WANT_LIST } schema_kind;

typedef struct schema {
  const char *name; /* of a member; NULL ends a table */
  schema_kind kind;
  bool nullable;
  schema_kind items;           /* of WANT_LIST */
  int exactly;                 /* items of WANT_LIST; 0: any number */
  const struct schema *fields; /* of WANT_OBJECT, or of a list of them */
  const char *const *words;    /* that WANT_TEXT may be, ended by NULL; NULL: any */
} schema;

/* `where` is what an error calls the object. */
edge_cns_status ec_schema_check(const json *object, const schema *fields, const char *where);

#endif
