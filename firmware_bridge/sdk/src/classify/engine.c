#include "classify/engine.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_cns.h"
#include "failure.h"

#define SIGNATURE "serving_default"
#define CPU_OPTIONS "xnnpack" /* name by which LiteRT finds options of its CPU kernels, which are lines of TOML */

enum { MOST_OUTPUTS = 64, INPUT_ZERO_POINT = -128 };
#define MOST_VALUES ((size_t)1 << 24)

const char *const ec_output_names[ENGINE_OUTPUTS] = {"logits", "cam", "embedding"};

static edge_cns_status litert_failed(const char *what, litert_status status) {
  return ec_fail(EDGE_CNS_ENGINE, "LiteRT could not %s (its status %d)", what, status);
}

#define CALL(what, call)                                 \
  do {                                                   \
    litert_status called = (call);                       \
    if (called != 0) return litert_failed(what, called); \
  } while (0)

/* Threads are an option of the CPU kernels; without it they use one. */
static edge_cns_status set_threads(engine *e, litert_handle options, unsigned threads) {
  enum { LINE = 32 };
  litert_handle opaque;
  char *line = malloc(LINE);
  if (line == NULL) return ec_fail(EDGE_CNS_SYSTEM, "no memory for the engine");
  snprintf(line, LINE, "num_threads = %u\n", threads);
  litert_status status = e->api.CreateOpaqueOptions(CPU_OPTIONS, line, free, &opaque);
  if (status != 0) {
    free(line);
    return litert_failed("take the number of threads", status);
  }
  status = e->api.AddOpaqueOptions(options, opaque);
  if (status == 0) return EDGE_CNS_OK;
  e->api.DestroyOpaqueOptions(opaque);
  return litert_failed("take the number of threads", status);
}

static edge_cns_status compile(engine *e, unsigned threads) {
  litert_handle options;
  CALL("make options", e->api.CreateOptions(&options));
  litert_status called = e->api.SetOptionsHardwareAccelerators(options, LITERT_CPU);
  edge_cns_status status = called == 0 ? EDGE_CNS_OK : litert_failed("choose the CPU", called);
  if (status == EDGE_CNS_OK && threads > 1) status = set_threads(e, options, threads);
  if (status == EDGE_CNS_OK) {
    called = e->api.CreateCompiledModel(e->environment, e->model, options, &e->compiled);
    if (called != 0) status = litert_failed("compile model.tflite", called);
  }
  e->api.DestroyOptions(options);
  return status;
}

static edge_cns_status find_signature(engine *e, litert_handle *signature) {
  litert_index count;
  const char *key;
  CALL("read model.tflite", e->api.GetNumModelSignatures(e->model, &count));
  for (e->signature = 0; e->signature < count; e->signature++) {
    CALL("read model.tflite", e->api.GetModelSignature(e->model, e->signature, signature));
    CALL("read model.tflite", e->api.GetSignatureKey(*signature, &key));
    if (strcmp(key, SIGNATURE) == 0) return EDGE_CNS_OK;
  }
  return ec_fail(EDGE_CNS_UNSUPPORTED, "model.tflite has no signature " SIGNATURE "; convert it with edge-cns convert");
}

/* Sides behind the batch. Returns false for a shape that no bundle's tensor has. */
static bool read_shape(const litert_layout *layout, engine_tensor *out) {
  const int rank = layout->rank & LITERT_RANK;
  out->count = 1;
  out->axes = rank - 1;
  if (rank < 2 || rank > 1 + ENGINE_MOST_AXES || layout->sides[0] != 1) return false;
  for (int i = 0; i < out->axes; i++) {
    int side = layout->sides[i + 1];
    if (side < 1 || out->count > MOST_VALUES / (size_t)side) return false;
    out->count *= (size_t)side;
    out->shape[i] = side;
  }
  return true;
}

/* A tensor of one frame in int8, and memory for it. */
static edge_cns_status describe(engine *e, litert_handle tensor, const char *name, litert_tensor_type *type,
                                engine_tensor *out) {
  litert_quantisation quantisation = {0, 0};
  int kind;
  CALL("read model.tflite", e->api.GetRankedTensorType(tensor, type));
  CALL("read model.tflite", e->api.GetQuantizationTypeId(tensor, &kind));
  if (type->element != LITERT_INT8 || kind != LITERT_PER_TENSOR)
    return ec_fail(EDGE_CNS_UNSUPPORTED, "model.tflite: %s is not quantised to int8; use edge-cns convert", name);
  CALL("read model.tflite", e->api.GetPerTensorQuantization(tensor, &quantisation));
  out->scale = quantisation.scale;
  out->zero_point = (int)quantisation.zero_point;
  if (!read_shape(&type->layout, out) || !isfinite(out->scale) || out->scale <= 0)
    return ec_fail(EDGE_CNS_UNSUPPORTED, "model.tflite: %s has no usable shape or scale; use edge-cns convert", name);
  out->values = calloc(out->count, 1);
  return out->values == NULL ? ec_fail(EDGE_CNS_SYSTEM, "no memory for the engine") : EDGE_CNS_OK;
}

static edge_cns_status make_buffer(engine *e, const litert_tensor_type *type, litert_handle requirements, size_t count,
                                   litert_handle *buffer) {
  size_t bytes;
  CALL("reserve memory", e->api.CreateManagedTensorBufferFromRequirements(e->environment, type, requirements, buffer));
  CALL("reserve memory", e->api.GetTensorBufferPackedSize(*buffer, &bytes));
  return bytes == count ? EDGE_CNS_OK : ec_fail(EDGE_CNS_ENGINE, "LiteRT reserved %zu bytes instead of %zu", bytes, count);
}

static edge_cns_status open_input(engine *e, litert_handle signature) {
  litert_handle tensor, requirements;
  litert_tensor_type type;
  litert_index count;
  CALL("read model.tflite", e->api.GetNumSignatureInputs(signature, &count));
  if (count != 1) return ec_fail(EDGE_CNS_UNSUPPORTED, "model.tflite has %zu inputs; a bundle's model has one", count);
  CALL("read model.tflite", e->api.GetSignatureInputTensorByIndex(signature, 0, &tensor));
  edge_cns_status status = describe(e, tensor, "the input", &type, &e->input);
  if (status != EDGE_CNS_OK) return status;
  CALL("reserve memory", e->api.GetCompiledModelInputBufferRequirements(e->compiled, e->signature, 0, &requirements));
  return make_buffer(e, &type, requirements, e->input.count, &e->input_buffer);
}

/* An output that is none of ours needs a buffer too. */
static edge_cns_status open_output(engine *e, litert_handle signature, litert_index index) {
  litert_handle tensor, requirements;
  litert_tensor_type type;
  const char *name;
  engine_tensor unused = {0}, *out = &unused;
  CALL("read model.tflite", e->api.GetSignatureOutputName(signature, index, &name));
  CALL("read model.tflite", e->api.GetSignatureOutputTensorByIndex(signature, index, &tensor));
  for (int i = 0; i < ENGINE_OUTPUTS; i++)
    if (strcmp(name, ec_output_names[i]) == 0) {
      out = &e->output[i];
      e->places[i] = index;
    }
  edge_cns_status status = describe(e, tensor, name, &type, out);
  free(unused.values);
  if (status != EDGE_CNS_OK) return status;
  CALL("reserve memory",
       e->api.GetCompiledModelOutputBufferRequirements(e->compiled, e->signature, index, &requirements));
  return make_buffer(e, &type, requirements, out->count, &e->output_buffers[index]);
}

static edge_cns_status open_outputs(engine *e, litert_handle signature) {
  CALL("read model.tflite", e->api.GetNumSignatureOutputs(signature, &e->outputs));
  if (e->outputs > MOST_OUTPUTS) return ec_fail(EDGE_CNS_UNSUPPORTED, "model.tflite has %zu outputs", e->outputs);
  e->output_buffers = calloc(e->outputs + 1, sizeof(litert_handle));
  if (e->output_buffers == NULL) return ec_fail(EDGE_CNS_SYSTEM, "no memory for the engine");
  for (litert_index i = 0; i < e->outputs; i++) {
    edge_cns_status status = open_output(e, signature, i);
    if (status != EDGE_CNS_OK) return status;
  }
  for (int i = 0; i < ENGINE_OUTPUTS; i++)
    if (e->output[i].values == NULL)
      return ec_fail(EDGE_CNS_UNSUPPORTED, "model.tflite has no output %s; convert it with edge-cns convert",
                  ec_output_names[i]);
  return EDGE_CNS_OK;
}

/* edge_cns/runtime/fit.py */
static edge_cns_status check_fit(const engine *e, const contract *c) {
  const engine_tensor *in = &e->input, *logits = &e->output[ENGINE_LOGITS], *cam = &e->output[ENGINE_CAM];
  bool input = in->axes == 3 && in->shape[0] == c->input.height && in->shape[1] == c->input.width && in->shape[2] == 1;
  if (!input || fabs(in->scale - 1.0 / 255) > 1e-7 || in->zero_point != INPUT_ZERO_POINT)
    return ec_fail(EDGE_CNS_UNSUPPORTED,
                "model.tflite takes another input than contract.json says; they are not of one bundle");
  bool outputs = logits->axes == 1 && logits->shape[0] == c->classes && cam->axes == 3 && cam->shape[2] == c->classes;
  if (!outputs || e->output[ENGINE_EMBEDDING].axes != 1)
    return ec_fail(EDGE_CNS_UNSUPPORTED,
                "model.tflite has other outputs than contract.json says; they are not of one bundle");
  return EDGE_CNS_OK;
}

static edge_cns_status open_model(engine *e, const uint8_t *model, size_t size, unsigned threads) {
  /* Left alone it looks for libraries of other accelerators wherever the loader looks, and tells of it. */
  static const litert_option options[] = {{LITERT_OPTION_ACCELERATORS, 0, LITERT_WHOLE_NUMBER, 0, LITERT_CPU},
                                          {LITERT_OPTION_LOG, 0, LITERT_WHOLE_NUMBER, 0, LITERT_LOG_ERRORS}};
  litert_handle signature = NULL;
  CALL("start", e->api.CreateEnvironment(2, options, &e->environment));
  CALL("read model.tflite", e->api.CreateModelFromBuffer(e->environment, model, size, &e->model));
  edge_cns_status status = compile(e, threads);
  if (status == EDGE_CNS_OK) status = find_signature(e, &signature);
  if (status == EDGE_CNS_OK) status = open_input(e, signature);
  return status == EDGE_CNS_OK ? open_outputs(e, signature) : status;
}

edge_cns_status ec_engine_open(engine *out, const char *library, const uint8_t *model, size_t size, const contract *c,
                               unsigned threads) {
  memset(out, 0, sizeof *out);
  edge_cns_status status = ec_engine_load_library(library, &out->api);
  if (status != EDGE_CNS_OK) return status;
  status = open_model(out, model, size, threads);
  if (status == EDGE_CNS_OK) status = check_fit(out, c);
  if (status != EDGE_CNS_OK) ec_engine_close(out);
  return status;
}

edge_cns_status ec_engine_run(engine *e, const uint8_t *image) {
  void *memory;
  CALL("lend its input", e->api.LockTensorBuffer(e->input_buffer, &memory, LITERT_LOCK_WRITE));
  uint8_t *bytes = memory;
  for (size_t i = 0; i < e->input.count; i++) bytes[i] = image[i] ^ 0x80; /* p - 128 */
  memcpy(e->input.values, bytes, e->input.count);
  CALL("take its input", e->api.UnlockTensorBuffer(e->input_buffer));
  CALL("run the model",
       e->api.RunCompiledModel(e->compiled, e->signature, 1, &e->input_buffer, e->outputs, e->output_buffers));
  for (int i = 0; i < ENGINE_OUTPUTS; i++) {
    litert_handle buffer = e->output_buffers[e->places[i]];
    CALL("lend an output", e->api.LockTensorBuffer(buffer, &memory, LITERT_LOCK_READ));
    memcpy(e->output[i].values, memory, e->output[i].count);
    CALL("take an output back", e->api.UnlockTensorBuffer(buffer));
  }
  return EDGE_CNS_OK;
}

void ec_engine_close(engine *e) {
  for (litert_index i = 0; e->output_buffers != NULL && i < e->outputs; i++)
    if (e->output_buffers[i] != NULL) e->api.DestroyTensorBuffer(e->output_buffers[i]);
  free(e->output_buffers);
  if (e->input_buffer != NULL) e->api.DestroyTensorBuffer(e->input_buffer);
  if (e->compiled != NULL) e->api.DestroyCompiledModel(e->compiled);
  if (e->model != NULL) e->api.DestroyModel(e->model);
  if (e->environment != NULL) e->api.DestroyEnvironment(e->environment);
  free(e->input.values);
  for (int i = 0; i < ENGINE_OUTPUTS; i++) free(e->output[i].values);
  memset(e, 0, sizeof *e);
}
