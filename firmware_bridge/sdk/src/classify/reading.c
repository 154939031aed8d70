#include "classify/reading.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_cns.h"
#include "classify/evidence.h"
#include "failure.h"
#include "ring/wire.h"

enum { LONGEST_REASON = 1024 };
#define MOST_VALUES ((size_t)1 << 24)

static bool is_finite(const array *a) {
  const float *values = a->values;
  for (size_t i = 0; i < a->count; i++)
    if (!isfinite(values[i])) return false;
  return true;
}

static bool read_floats(const blob *file, const char *name, int axes, array *out) {
  if (!ec_array_read(file->bytes, file->size, name, out)) return false;
  return out->type == ARRAY_FLOAT32 && out->axes == axes && out->count > 0 && out->count <= MOST_VALUES &&
         is_finite(out);
}

static void write_remarks(reading *r, const bundle *b) {
  char *at = r->remarks, *end = r->remarks + sizeof r->remarks;
  if (!b->contract.calibrated) at += snprintf(at, (size_t)(end - at), ", uncalibrated");
  if (strcmp(b->proof, "passed") != 0) at += snprintf(at, (size_t)(end - at), ", quantisation %s", b->proof);
  if (b->contract.phantom) snprintf(at, (size_t)(end - at), ", trained on phantom frames");
}

edge_cns_status ec_reading_open(reading *out, const bundle *b, const engine *e) {
  const size_t channels = e->output[ENGINE_EMBEDDING].count;
  bool fits = true;
  memset(out, 0, sizeof *out);
  out->rules = &b->contract;
  write_remarks(out, b);
  if (b->contract.has_novelty)
    fits = read_floats(&b->decision, "novelty_directions", 3, &out->directions) && out->directions.shape[2] == channels;
  if (fits && b->contract.views > 0)
    fits = read_floats(&b->decision, "views_kernel", 2, &out->kernel) &&
           read_floats(&b->decision, "views_bias", 1, &out->bias) &&
           out->kernel.shape[0] == (size_t)b->contract.views && out->kernel.shape[1] == channels &&
           out->bias.shape[0] == (size_t)b->contract.views;
  out->unit = calloc(channels, sizeof *out->unit);
  if (fits && out->unit != NULL) return EDGE_CNS_OK;
  ec_reading_close(out);
  return fits ? ec_fail(EDGE_CNS_SYSTEM, "no memory for the bundle")
              : ec_fail(EDGE_CNS_UNUSABLE,
                     "decision.npz does not fit the model and the contract; calibrate the bundle again");
}

void ec_reading_close(reading *r) {
  ec_array_free(&r->directions);
  ec_array_free(&r->kernel);
  ec_array_free(&r->bias);
  free(r->unit);
  r->unit = NULL;
}

static int largest(const double *values, int count) {
  int best = 0;
  for (int i = 1; i < count; i++)
    if (values[i] > values[best]) best = i;
  return best;
}

static void look_at_embedding(reading *r, const engine *e, double *novelty, const char **view) {
  const contract *c = r->rules;
  const size_t channels = e->output[ENGINE_EMBEDDING].count;
  double planes[EDGE_CNS_MAX_CLASSES] = {0};
  *novelty = NAN;
  *view = "";
  if (!c->has_novelty && c->views == 0) return;
  ec_unit(&e->output[ENGINE_EMBEDDING], r->unit);
  if (c->has_novelty) {
    const size_t *shape = r->directions.shape;
    *novelty = ec_novelty(r->unit, r->directions.values, shape[0], shape[1], channels);
  }
  if (c->views == 0) return;
  const float *kernel = r->kernel.values, *bias = r->bias.values;
  for (int v = 0; v < c->views; v++)
    planes[v] = (double)(ec_dot(r->unit, kernel + (size_t)v * channels, channels) + bias[v]);
  ec_softmax(planes, c->views, 1.0, planes);
  int best = largest(planes, c->views);
  if (planes[best] >= c->view_threshold) *view = c->view_names[best];
}

static void append(char *reason, const char *more) {
  size_t used = strlen(reason);
  snprintf(reason + used, LONGEST_REASON - used, "%s", more);
}

/* "could be A or B at 90% coverage", the likeliest first. */
static void write_alternatives(const reading *r, const bool *members, char *reason) {
  const contract *c = r->rules;
  bool named[EDGE_CNS_MAX_CLASSES] = {false};
  char coverage[32];
  for (;;) {
    int best = -1;
    for (int i = 0; i < c->classes; i++)
      if (members[i] && !named[i] && (best < 0 || r->shares[i] > r->shares[best])) best = i;
    if (best < 0) break;
    named[best] = true;
    append(reason, reason[0] == '\0' ? "could be " : " or ");
    append(reason, c->names[best]);
  }
  if (reason[0] == '\0') append(reason, "no class fits");
  snprintf(coverage, sizeof coverage, " at %.0f%% coverage", c->coverage * 100);
  append(reason, coverage);
}

/* First whether it is a supported view, then whether exactly one class fits it. Returns the class, or -1. */
static int decide(const reading *r, double novelty, edge_cns_state *state, char *reason) {
  const contract *c = r->rules;
  bool members[EDGE_CNS_MAX_CLASSES];
  int count = 0, last = -1;
  *state = EDGE_CNS_CLASS;
  if (c->has_novelty && !(novelty <= c->novelty_threshold)) { /* one that is no number is not supported */
    *state = EDGE_CNS_NOT_SUPPORTED_VIEW;
    snprintf(reason, LONGEST_REASON, "not a supported view (novelty %.2f, limit %.2f)", novelty, c->novelty_threshold);
    return -1;
  }
  if (!c->has_conformal) return largest(r->shares, c->classes);
  for (int i = 0; i < c->classes; i++) {
    members[i] = r->shares[i] >= c->thresholds[i];
    if (members[i]) last = i;
    count += members[i];
  }
  if (count == 1) return last;
  *state = EDGE_CNS_INDETERMINATE;
  write_alternatives(r, members, reason);
  return -1;
}

static void draw_heat(const engine *e, int label, edge_cns_result *result) {
  const engine_tensor *cam = &e->output[ENGINE_CAM];
  if (cam->shape[0] * cam->shape[1] > EDGE_CNS_MAX_HEAT) return;
  result->heat_rows = (uint32_t)cam->shape[0];
  result->heat_columns = (uint32_t)cam->shape[1];
  ec_evidence(cam, label, result->heat);
}

/* The decimal point is written as the program's locale has it. */
void ec_reading_state(reading *r, const engine *e, const char *unreadable, edge_cns_result *result) {
  const contract *c = r->rules;
  const engine_tensor *logits = &e->output[ENGINE_LOGITS];
  char reason[LONGEST_REASON] = "", whole[LONGEST_REASON + sizeof r->remarks];
  const char *view;
  double novelty;
  for (int i = 0; i < c->classes; i++) r->shares[i] = (double)ec_real(logits, (size_t)i);
  ec_softmax(r->shares, c->classes, c->temperature, r->shares);
  look_at_embedding(r, e, &novelty, &view);
  int label = decide(r, novelty, &result->state, reason);
  if (unreadable[0] != '\0') {
    result->state = EDGE_CNS_NOT_SUPPORTED_VIEW;
    label = -1;
    snprintf(reason, sizeof reason, "%s", unreadable);
  }
  const bool supported = result->state != EDGE_CNS_NOT_SUPPORTED_VIEW;
  result->label = label;
  result->probability = label < 0 ? NAN : (float)r->shares[label];
  result->novelty = (float)novelty;
  result->classes = (uint32_t)c->classes;
  for (int i = 0; i < c->classes; i++) result->probabilities[i] = (float)r->shares[i];
  if (supported) {
    draw_heat(e, label < 0 ? largest(r->shares, c->classes) : label, result);
    ec_wire_copy_text(result->view, sizeof result->view, view);
  }
  snprintf(whole, sizeof whole, "%s%s", reason, r->remarks);
  ec_wire_copy_text(result->reason, sizeof result->reason, reason[0] == '\0' && whole[0] != '\0' ? whole + 2 : whole);
}
