/* From an engine's outputs to a verdict: edge_cns/runtime/reading.py and edge_cns/decision/frame.py in C, for one
 * frame. */
#ifndef EDGE_CNS_READING_H
#define EDGE_CNS_READING_H

#include "classify/arrays.h"
#include "classify/bundle.h"
#include "edge_cns.h"
#include "classify/engine.h"

typedef struct reading {
  const contract *rules;
  array directions;   /* (G, k, C): those in which the embeddings of G classes lie */
  array kernel, bias; /* (V, C) and (V,): planes */
  float *unit;        /* C: the embedding, scaled to length 1 */
  double shares[EDGE_CNS_MAX_CLASSES];
  char remarks[96]; /* what every verdict has to say: uncalibrated, unproven, phantom */
} reading;

/* On an error there is nothing to be closed. */
edge_cns_status ec_reading_open(reading *out, const bundle *b, const engine *e);
void ec_reading_close(reading *r);

/* State what the outputs say: state, label, probability, probabilities, novelty, view, heat map and reason.
 * unreadable: why the frame is no supported view, whatever the outputs say; empty if it may be one. */
void ec_reading_state(reading *r, const engine *e, const char *unreadable, edge_cns_result *result);

#endif
