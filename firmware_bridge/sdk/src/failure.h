/* The line behind edge_cns_error(). */
#ifndef EDGE_CNS_FAILURE_H
#define EDGE_CNS_FAILURE_H

#include "edge_cns.h"

/* Remember a line for this thread, and return the status. */
__attribute__((format(printf, 2, 3))) edge_cns_status ec_fail(edge_cns_status status, const char *format, ...);

/* The same, with what errno says behind it. */
edge_cns_status ec_fail_errno(edge_cns_status status, const char *what);

#endif
