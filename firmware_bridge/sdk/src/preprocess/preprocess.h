/* From a frame to the network's image: edge_cns/preprocess.py in C, equal to it bit for bit.
 *
 *     frame -> region -> 8-bit grey -> resize -> letterbox -> uint8 image; the int8 tensor is the same byte ^ 0x80
 *
 * No function allocates or keeps anything: any number of threads may use them, each with scratch memory of its own.
 */
#ifndef EDGE_CNS_PREPROCESS_H
#define EDGE_CNS_PREPROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "preprocess/grey.h"
#include "preprocess/resize.h"

typedef enum ec_region_rule { EC_AUTO, EC_WHOLE, EC_FIXED } ec_region_rule;

/* The contract's input. */
typedef struct ec_input {
  int width, height; /* of the tensor, px */
  ec_region_rule rule;
  ec_region fixed; /* with EC_FIXED */
  bool letterbox;
} ec_input;

typedef enum ec_unreadable { EC_READABLE, EC_COLOUR, EC_DUAL } ec_unreadable;

/* Why a frame is no view that can be classified, one line; empty for EC_READABLE. */
const char *ec_unreadable_text(ec_unreadable why);

typedef struct ec_prepared {
  ec_region region; /* of the frame, that the image shows */
  ec_unreadable unreadable;
} ec_prepared;

/* Bytes of scratch for frames of at most this size; aligned as for float. */
size_t ec_prepare_scratch(const ec_input *input, int most_width, int most_height);

/* Make the network's image of a frame.
 *
 * known: where the ultrasound image lies, as the machine says it, or NULL.
 * image: input->width * input->height bytes, row by row.
 * Returns false where the contract's fixed region does not fit the frame. */
bool ec_prepare(const ec_picture *frame, const ec_region *known, const ec_input *input, uint8_t *image, void *scratch,
                ec_prepared *prepared);

/* Where an image of this size lands in the tensor, px of it. */
ec_region ec_fit_within(int width, int height, const ec_input *input);

/* Resize a grey, 16-bit or colour picture; edge_cns.preprocess.resize. Scratch: ec_resize_scratch. */
void ec_resize(const ec_picture *from, const ec_plane *to, void *scratch);

/* Bytes of scratch for pictures of at most this size, brought to at most that size. */
size_t ec_resize_scratch(int from_width, int from_height, int to_width, int to_height);

#endif
