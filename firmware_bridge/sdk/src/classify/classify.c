#include "edge_cns.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "classify/bundle.h"
#include "classify/engine.h"
#include "failure.h"
#include "classify/golden.h"
#include "preprocess/preprocess.h"
#include "classify/reading.h"

enum { MOST_THREADS = 64, SMALLEST_SIDE = 64, ALIGNMENT = 64 };

_Static_assert((int)EDGE_CNS_GREY8 == (int)EC_GREY8 && (int)EDGE_CNS_GREY16 == (int)EC_GREY16 &&
                   (int)EDGE_CNS_BGR8 == (int)EC_BGR8,
               "one numbering of pixel formats");

struct edge_cns_classifier {
  bundle bundle;
  engine engine;
  reading reading;
  bool exact;
  uint32_t most_width, most_height;
  uint8_t *image;
  void *scratch;
  uint64_t frames;
};

static size_t rounded(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static edge_cns_status check_options(const edge_cns_classifier_options *options) {
  if (options == NULL || options->size != sizeof *options)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "begin the options with EDGE_CNS_CLASSIFIER_OPTIONS_INIT");
  if (options->litert_library == NULL)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "options.litert_library is missing; give the path of libLiteRt.so");
  if (options->threads < 1 || options->threads > MOST_THREADS)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "options.threads is %u; give 1 to %d", options->threads, MOST_THREADS);
  if (options->max_width < SMALLEST_SIDE || options->max_width > EDGE_CNS_MAX_SIDE ||
      options->max_height < SMALLEST_SIDE || options->max_height > EDGE_CNS_MAX_SIDE)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "the largest frame is %ux%u px; give sides of 64 to %d", options->max_width,
                options->max_height, EDGE_CNS_MAX_SIDE);
  return EDGE_CNS_OK;
}

static edge_cns_status reserve(edge_cns_classifier *c, const edge_cns_classifier_options *options) {
  size_t scratch = ec_prepare_scratch(&c->bundle.contract.input, (int)options->max_width, (int)options->max_height);
  c->most_width = options->max_width;
  c->most_height = options->max_height;
  c->image = aligned_alloc(ALIGNMENT, rounded(c->engine.input.count));
  c->scratch = aligned_alloc(ALIGNMENT, rounded(scratch));
  return c->image == NULL || c->scratch == NULL ? ec_fail(EDGE_CNS_SYSTEM, "no memory for frames") : EDGE_CNS_OK;
}

static edge_cns_status open_all(edge_cns_classifier *c, const char *path, const edge_cns_classifier_options *options) {
  bundle *b = &c->bundle;
  edge_cns_status status = ec_bundle_read(path, b);
  if (status != EDGE_CNS_OK) return status;
  if (options->require_proof && strcmp(b->proof, "passed") != 0)
    return ec_fail(EDGE_CNS_UNSUPPORTED, "quantisation is %s, and a proof is required; convert with more gate patients",
                b->proof);
  status = ec_engine_open(&c->engine, options->litert_library, b->model.bytes, b->model.size, &b->contract,
                          options->threads);
  if (status == EDGE_CNS_OK) status = ec_reading_open(&c->reading, b, &c->engine);
  if (status == EDGE_CNS_OK) status = ec_golden_check(b, &c->engine, &c->exact);
  ec_bundle_drop(&b->golden);
  ec_bundle_drop(&b->decision);
  return status == EDGE_CNS_OK ? reserve(c, options) : status;
}

edge_cns_status edge_cns_classifier_open(const char *path, const edge_cns_classifier_options *options,
                                         edge_cns_classifier **classifier) {
  if (classifier != NULL) *classifier = NULL;
  if (path == NULL || classifier == NULL)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "a bundle and a place for the classifier are needed");
  edge_cns_status status = check_options(options);
  if (status != EDGE_CNS_OK) return status;
  edge_cns_classifier *made = calloc(1, sizeof *made);
  if (made == NULL) return ec_fail(EDGE_CNS_SYSTEM, "no memory for a classifier");
  status = open_all(made, path, options);
  if (status == EDGE_CNS_OK)
    *classifier = made;
  else
    edge_cns_classifier_close(made);
  return status;
}

void edge_cns_classifier_close(edge_cns_classifier *classifier) {
  if (classifier == NULL) return;
  ec_reading_close(&classifier->reading);
  ec_engine_close(&classifier->engine);
  ec_bundle_free(&classifier->bundle);
  free(classifier->image);
  free(classifier->scratch);
  free(classifier);
}

static bool inside(const int32_t region[4], const edge_cns_frame *frame) {
  return region[0] >= 0 && region[1] >= 0 && region[2] >= 1 && region[3] >= 1 &&
         (int64_t)region[0] + region[2] <= frame->width && (int64_t)region[1] + region[3] <= frame->height;
}

static edge_cns_status read_frame(const edge_cns_classifier *c, const void *pixels, const edge_cns_frame *frame,
                                  ec_picture *out) {
  if (pixels == NULL || frame == NULL) return ec_fail(EDGE_CNS_BAD_ARGUMENT, "pixels and their frame are needed");
  if (frame->format < EDGE_CNS_GREY8 || frame->format > EDGE_CNS_BGR8)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "pixel format %d is not known", (int)frame->format);
  if (frame->width < SMALLEST_SIDE || frame->height < SMALLEST_SIDE || frame->width > c->most_width ||
      frame->height > c->most_height)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT,
                "frame is %ux%u px; both sides must be 64 px at least, and %ux%u px at most (options)", frame->width,
                frame->height, c->most_width, c->most_height);
  const uint32_t row = frame->width * (uint32_t)frame->format, bits = frame->bits_stored;
  if (frame->stride != 0 && frame->stride < row)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "a row has %u bytes, the stride is %u", row, frame->stride);
  if (frame->format == EDGE_CNS_GREY16 && bits != 0 && (bits < 8 || bits > 16))
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "bits_stored is %u; 16-bit frames store 8 to 16 bits", bits);
  if (frame->region[2] != 0 && !inside(frame->region, frame))
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "the region does not lie inside the frame");
  out->pixels = pixels;
  out->stride = frame->stride == 0 ? row : frame->stride;
  out->width = (int)frame->width;
  out->height = (int)frame->height;
  out->format = (ec_format)frame->format;
  out->bits_stored = bits == 0 ? 16 : (int)bits;
  return EDGE_CNS_OK;
}

/* What a single frame cannot say stays as zeroed memory says it. */
static void fill(edge_cns_classifier *c, const edge_cns_frame *frame, int64_t started, edge_cns_result *result) {
  const contract *rules = &c->bundle.contract;
  const bool supported = result->state != EDGE_CNS_NOT_SUPPORTED_VIEW;
  result->sequence = c->frames++;
  result->captured_ns = frame->captured_ns == 0 ? started : frame->captured_ns;
  result->expires_ns = result->captured_ns + EDGE_CNS_LIFETIME_NS;
  result->steady_state = result->state;
  result->steady_label = result->label;
  result->steady_probability = result->probability;
  result->frames_behind = supported ? 1 : 0;
  if (rules->calibrated) result->flags |= EDGE_CNS_FLAG_CALIBRATED;
  if (strcmp(c->bundle.proof, "passed") == 0) result->flags |= EDGE_CNS_FLAG_PROVEN;
  result->frames_seen = result->frames_classified = c->frames;
  result->finding = -1;
  result->emitted_ns = edge_cns_now();
  result->age_ms = (double)(result->emitted_ns - result->captured_ns) / 1e6;
  result->latency_ms = (double)(result->emitted_ns - started) / 1e6;
}

edge_cns_status edge_cns_classify(edge_cns_classifier *classifier, const void *pixels, const edge_cns_frame *frame,
                                  edge_cns_result *result) {
  if (classifier == NULL || result == NULL)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "a classifier and a place for the result are needed");
  const int64_t started = edge_cns_now();
  ec_picture picture;
  ec_prepared prepared;
  edge_cns_status status = read_frame(classifier, pixels, frame, &picture);
  if (status != EDGE_CNS_OK) return status;
  const ec_region known = {frame->region[0], frame->region[1], frame->region[2], frame->region[3]};
  if (!ec_prepare(&picture, known.width == 0 ? NULL : &known, &classifier->bundle.contract.input, classifier->image,
                  classifier->scratch, &prepared))
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "the contract's fixed region does not fit a frame of %ux%u px", frame->width,
                frame->height);
  status = ec_engine_run(&classifier->engine, classifier->image);
  if (status != EDGE_CNS_OK) return status;
  memset(result, 0, sizeof *result);
  ec_reading_state(&classifier->reading, &classifier->engine, ec_unreadable_text(prepared.unreadable), result);
  fill(classifier, frame, started, result);
  return EDGE_CNS_OK;
}

uint32_t edge_cns_classifier_class_count(const edge_cns_classifier *classifier) {
  return (uint32_t)classifier->bundle.contract.classes;
}

const char *edge_cns_classifier_class_name(const edge_cns_classifier *classifier, int32_t index) {
  const contract *rules = &classifier->bundle.contract;
  return index < 0 || index >= rules->classes ? "" : rules->names[index];
}

const char *edge_cns_classifier_remarks(const edge_cns_classifier *classifier) {
  const char *remarks = classifier->reading.remarks;
  return remarks[0] == '\0' ? remarks : remarks + 2; /* without the comma that leads them in a reason */
}

uint32_t edge_cns_classifier_exact(const edge_cns_classifier *classifier) { return classifier->exact; }

static const engine_tensor *tensor_of(const engine *e, const char *name) {
  if (strcmp(name, "image") == 0) return &e->input;
  for (int i = 0; i < ENGINE_OUTPUTS; i++)
    if (strcmp(name, ec_output_names[i]) == 0) return &e->output[i];
  return NULL;
}

edge_cns_status edge_cns_classifier_tensor(const edge_cns_classifier *classifier, const char *name,
                                           edge_cns_tensor *tensor) {
  const engine_tensor *found = tensor_of(&classifier->engine, name);
  if (found == NULL) return ec_fail(EDGE_CNS_BAD_ARGUMENT, "there is no tensor \"%.40s\"", name);
  memset(tensor, 0, sizeof *tensor);
  tensor->values = found->values;
  tensor->count = (uint32_t)found->count;
  tensor->axes = (uint32_t)found->axes;
  for (int i = 0; i < found->axes; i++) tensor->shape[i] = (uint32_t)found->shape[i];
  tensor->scale = found->scale;
  tensor->zero_point = found->zero_point;
  return EDGE_CNS_OK;
}
