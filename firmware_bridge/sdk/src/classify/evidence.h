/* Numbers behind a verdict. */
#ifndef EDGE_CNS_EVIDENCE_H
#define EDGE_CNS_EVIDENCE_H

#include <stddef.h>

#include "classify/engine.h"

/* Real value of a number of an output. */
float ec_real(const engine_tensor *tensor, size_t index);

/* softmax(values / temperature), edge_cns.decision.verdict.softmax. `shares` may be `values`. */
void ec_softmax(const double *values, int count, double temperature, double *shares);

/* Scale an embedding to length 1; zeros stay what they are. */
void ec_unit(const engine_tensor *embedding, float *unit);

/* Share of an embedding's energy outside of the directions (groups x kept x channels) of the class that holds most of
 * it: edge_cns.decision.novelty. */
double ec_novelty(const float *unit, const float *directions, size_t groups, size_t kept, size_t channels);

float ec_dot(const float *a, const float *b, size_t count);

/* Where a frame speaks for a class: its activation map minus the mean map of all classes. rows * columns numbers. */
void ec_evidence(const engine_tensor *cam, int label, float *heat);

#endif
