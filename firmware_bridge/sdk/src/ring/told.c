#include "ring/told.h"

#include <string.h>

static told_topic topic_of(edge_cns_event_kind kind, bool empty) {
  switch (kind) {
    case EDGE_CNS_EXAM_START:
    case EDGE_CNS_EXAM_END: return TOLD_EXAM;
    case EDGE_CNS_FETUS: return TOLD_FETUS;
    case EDGE_CNS_FREEZE:
    case EDGE_CNS_UNFREEZE:
    case EDGE_CNS_CINE: return TOLD_MOTION;
    case EDGE_CNS_PROBE: return empty ? TOLD_PROBE_REMOVED : TOLD_PROBE;
    case EDGE_CNS_PRESET: return TOLD_PRESET;
    case EDGE_CNS_DEPTH: return TOLD_DEPTH;
    case EDGE_CNS_MODE: return TOLD_MODE;
    case EDGE_CNS_ORIENTATION: return TOLD_ORIENTATION;
    case EDGE_CNS_GESTATIONAL_AGE: return TOLD_GESTATIONAL_AGE;
  }
  return TOLD_TOPICS;
}

static void forget(told *all, told_topic topic) { all->known[topic] = all->waiting[topic] = false; }

bool ec_told_remember(told *all, edge_cns_event_kind kind, const char *value, int64_t at_ns) {
  bool empty = value == NULL || value[0] == '\0';
  told_topic topic = topic_of(kind, empty);
  if (topic == TOLD_TOPICS) return false;
  wire_event *event = &all->events[topic];
  event->header = ec_wire_make_header(WIRE_EVENT);
  event->at_ns = at_ns;
  event->kind = (uint32_t)kind;
  ec_wire_copy_text(event->value, sizeof event->value, empty ? "" : value);
  all->waiting[topic] = true;
  all->known[topic] = topic != TOLD_PROBE_REMOVED;
  if (topic == TOLD_EXAM) { /* of the exam before */
    forget(all, TOLD_FETUS);
    forget(all, TOLD_GESTATIONAL_AGE);
  }
  if (topic == TOLD_PROBE_REMOVED) forget(all, TOLD_PROBE);
  return true;
}

const wire_event *ec_told_next(const told *all) {
  for (int topic = 0; topic < TOLD_TOPICS; topic++)
    if (all->waiting[topic]) return &all->events[topic];
  return NULL;
}

void ec_told_sent(told *all, const wire_event *event) { all->waiting[event - all->events] = false; }

void ec_told_again(told *all) {
  for (int topic = 0; topic < TOLD_TOPICS; topic++) all->waiting[topic] |= all->known[topic];
}
