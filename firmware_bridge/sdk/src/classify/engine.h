/* The model of a bundle in LiteRT. One thread at a time. */
#ifndef EDGE_CNS_ENGINE_H
#define EDGE_CNS_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "classify/contract.h"
#include "edge_cns.h"
#include "classify/litert_api.h"

enum { ENGINE_MOST_AXES = 4 };
enum { ENGINE_LOGITS, ENGINE_CAM, ENGINE_EMBEDDING, ENGINE_OUTPUTS };

/* A tensor without its batch axis. */
typedef struct engine_tensor {
  int8_t *values; /* ours; of the last run */
  int axes;
  int shape[ENGINE_MOST_AXES];
  size_t count;
  float scale;
  int zero_point;
} engine_tensor;

typedef struct engine {
  litert_api api;
  litert_handle environment, model, compiled;
  litert_index signature, outputs; /* outputs: of the signature, of which three are ours */
  litert_handle input_buffer;
  litert_handle *output_buffers;       /* in the signature's order */
  litert_index places[ENGINE_OUTPUTS]; /* of ours among them */
  engine_tensor input, output[ENGINE_OUTPUTS];
} engine;

extern const char *const ec_output_names[ENGINE_OUTPUTS];

/* Load the library at `path` if it is one that this SDK knows. It stays loaded until the program ends. */
edge_cns_status ec_engine_load_library(const char *path, litert_api *api);

/* Load a model and see that it is the one that the contract speaks of. `model` must stay where it is until
 * ec_engine_close. On an error there is nothing to be closed. */
edge_cns_status ec_engine_open(engine *out, const char *library, const uint8_t *model, size_t size, const contract *c,
                               unsigned threads);

/* Run the model on the network's image, input.count bytes, and fill the outputs. */
edge_cns_status ec_engine_run(engine *e, const uint8_t *image);

void ec_engine_close(engine *e);

#endif
