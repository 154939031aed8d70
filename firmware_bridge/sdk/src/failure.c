#define _POSIX_C_SOURCE 200809L
#include "failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char line[320];

edge_cns_status ec_fail(edge_cns_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  return status;
}

edge_cns_status ec_fail_errno(edge_cns_status status, const char *what) {
  char text[128];
  if (strerror_r(errno, text, sizeof text) != 0) snprintf(text, sizeof text, "error %d", errno);
  return ec_fail(status, "%s: %s", what, text);
}

const char *edge_cns_error(void) { return line; }
