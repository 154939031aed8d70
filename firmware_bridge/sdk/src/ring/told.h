/* What the machine has told: kept until it has gone out, and told again to a classifier that comes later. */
#ifndef EDGE_CNS_TOLD_H
#define EDGE_CNS_TOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "edge_cns.h"
#include "ring/wire.h"

/* In the order in which they go out: whose exam it is comes before what is seen of it. */
typedef enum told_topic {
  TOLD_EXAM,
  TOLD_PROBE_REMOVED, /* apart from TOLD_PROBE: a probe that comes back at once does not undo it */
  TOLD_FETUS,
  TOLD_GESTATIONAL_AGE,
  TOLD_PROBE,
  TOLD_PRESET,
  TOLD_DEPTH,
  TOLD_ORIENTATION,
  TOLD_MODE,
  TOLD_MOTION, /* frozen, cine or live */
  TOLD_TOPICS
} told_topic;

typedef struct told {
  wire_event events[TOLD_TOPICS];
  bool known[TOLD_TOPICS];   /* there is something to tell a new classifier */
  bool waiting[TOLD_TOPICS]; /* it has not gone out yet */
} told;

/* Remember an event. `false` for one that there is not. */
bool ec_told_remember(told *all, edge_cns_event_kind kind, const char *value, int64_t at_ns);

/* The next event that has to go out, or NULL; told_sent says that it has. */
const wire_event *ec_told_next(const told *all);
void ec_told_sent(told *all, const wire_event *event);

/* A new classifier has to be told everything. */
void ec_told_again(told *all);

#endif
