#include "classify/golden.h"

#include <stdlib.h>
#include <string.h>

#include "classify/arrays.h"
#include "edge_cns.h"
#include "failure.h"
#include "preprocess/preprocess.h"

enum { IMAGE_TOLERANCE = 2, SMALLEST_SIDE = 64 };

typedef struct vectors {
  array frames, image, outputs[ENGINE_OUTPUTS];
} vectors;

static void free_vectors(vectors *v) {
  ec_array_free(&v->frames);
  ec_array_free(&v->image);
  for (int i = 0; i < ENGINE_OUTPUTS; i++) ec_array_free(&v->outputs[i]);
}

static bool read_vectors(const bundle *b, const engine *e, vectors *v) {
  const blob *file = &b->golden;
  const ec_input *input = &b->contract.input;
  if (!ec_array_read(file->bytes, file->size, "frames", &v->frames)) return false;
  if (!ec_array_read(file->bytes, file->size, "image", &v->image)) return false;
  const size_t *frames = v->frames.shape, *image = v->image.shape, count = frames[0];
  if (v->frames.type != ARRAY_UINT8 || v->frames.axes != 3 || count == 0) return false;
  for (int i = 1; i < 3; i++)
    if (frames[i] < SMALLEST_SIDE || frames[i] > EDGE_CNS_MAX_SIDE) return false;
  if (v->image.type != ARRAY_UINT8 || v->image.axes != 3 || image[0] != count) return false;
  if (image[1] != (size_t)input->height || image[2] != (size_t)input->width) return false;
  for (int i = 0; i < ENGINE_OUTPUTS; i++) {
    array *a = &v->outputs[i];
    if (!ec_array_read(file->bytes, file->size, ec_output_names[i], a)) return false;
    if (a->type != ARRAY_INT8 || a->shape[0] != count || a->count != count * e->output[i].count) return false;
  }
  return true;
}

/* Largest difference of two images, or of two outputs. */
static int bytes_apart(const uint8_t *a, const uint8_t *b, size_t count) {
  int largest = 0;
  for (size_t i = 0; i < count; i++) {
    int apart = abs(a[i] - b[i]);
    if (apart > largest) largest = apart;
  }
  return largest;
}

static int steps_apart(const int8_t *a, const int8_t *b, size_t count) {
  int largest = 0;
  for (size_t i = 0; i < count; i++) {
    int apart = abs(a[i] - b[i]);
    if (apart > largest) largest = apart;
  }
  return largest;
}

static edge_cns_status mismatch(size_t frame, const char *what, int found, int allowed) {
  return ec_fail(EDGE_CNS_MISMATCH,
              "golden frame %zu: %s differs by %d steps, %d are allowed; this machine does not reproduce the bundle",
              frame, what, found, allowed);
}

/* The class must be the golden one wherever that leads by more than the tolerance. */
static bool same_class(const int8_t *here, const int8_t *golden, int count, int tolerance) {
  int best = 0, second = -129, own = 0;
  for (int i = 1; i < count; i++) {
    if (golden[i] > golden[best]) best = i;
    if (here[i] > here[own]) own = i;
  }
  for (int i = 0; i < count; i++)
    if (i != best && golden[i] > second) second = (int)golden[i];
  return own == best || golden[best] - second <= tolerance;
}

static edge_cns_status check_frame(const bundle *b, engine *e, const vectors *v, size_t i, uint8_t *work, bool *exact) {
  const size_t *shape = v->frames.shape, size = shape[1] * shape[2], pixels = e->input.count;
  const uint8_t *golden = (const uint8_t *)v->image.values + i * pixels;
  const ec_picture frame = {
      (const uint8_t *)v->frames.values + i * size, shape[2], (int)shape[2], (int)shape[1], EC_GREY8, 8};
  uint8_t *image = work, *scratch = work + (pixels + 63) / 64 * 64;
  ec_prepared prepared;
  if (!ec_prepare(&frame, NULL, &b->contract.input, image, scratch, &prepared))
    return ec_fail(EDGE_CNS_UNUSABLE, "golden.npz does not fit the contract's fixed region; convert the model again");
  int apart = bytes_apart(image, golden, pixels);
  if (apart > IMAGE_TOLERANCE) return mismatch(i, "the preprocessed image", apart, IMAGE_TOLERANCE);
  *exact &= apart == 0;
  edge_cns_status status = ec_engine_run(e, golden);
  for (int k = 0; k < ENGINE_OUTPUTS && status == EDGE_CNS_OK; k++) {
    const engine_tensor *output = &e->output[k];
    const int8_t *wanted = (const int8_t *)v->outputs[k].values + i * output->count;
    apart = steps_apart(output->values, wanted, output->count);
    if (apart > b->tolerance[k]) status = mismatch(i, ec_output_names[k], apart, b->tolerance[k]);
    *exact &= apart == 0;
    if (k == ENGINE_LOGITS && status == EDGE_CNS_OK &&
        !same_class(output->values, wanted, (int)output->count, b->tolerance[k]))
      status =
          ec_fail(EDGE_CNS_MISMATCH, "golden frame %zu: another class; this machine does not reproduce the bundle", i);
  }
  return status;
}

static edge_cns_status check_vectors(const bundle *b, engine *e, const vectors *v, bool *exact) {
  const int height = (int)v->frames.shape[1], width = (int)v->frames.shape[2];
  size_t image = (e->input.count + 63) / 64 * 64;
  size_t bytes = image + ec_prepare_scratch(&b->contract.input, width, height);
  uint8_t *work = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (work == NULL) return ec_fail(EDGE_CNS_SYSTEM, "no memory for the golden vectors");
  edge_cns_status status = EDGE_CNS_OK;
  *exact = true;
  for (size_t i = 0; i < v->frames.shape[0] && status == EDGE_CNS_OK; i++)
    status = check_frame(b, e, v, i, work, exact);
  free(work);
  return status;
}

edge_cns_status ec_golden_check(const bundle *b, engine *e, bool *exact) {
  vectors v;
  memset(&v, 0, sizeof v);
  edge_cns_status status =
      read_vectors(b, e, &v) ? check_vectors(b, e, &v, exact)
                             : ec_fail(EDGE_CNS_UNUSABLE, "golden.npz does not fit the contract; convert the model again");
  free_vectors(&v);
  return status;
}
