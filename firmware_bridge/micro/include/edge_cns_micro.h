/* From a grey frame to the network's int8 tensor on a microcontroller: integers only, no heap, row by row.
 *
 * What Python's edge_cns.preprocess makes of the same frame, bit for bit. The size of the frame is fixed when the
 * model is converted; the tables for it are constants in flash (edge_cns_plan.c, made by edge-cns convert-to c-array).
 *
 * Research use only. Not a medical device.
 */
#ifndef EDGE_CNS_MICRO_H
#define EDGE_CNS_MICRO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Steps that a plan may have: six halvings of a large frame, one sampling and two means. */
#define EDGE_CNS_MICRO_MAX_STEPS 10

/* A sample between two neighbours: (in[from] * weight_from + in[to] * weight_to) / 2048. */
typedef struct {
    uint16_t from;
    uint16_t to;
    uint16_t weight_from;
    uint16_t weight_to;
} edge_cns_micro_tap;

/* One pass over an image. It samples between neighbours (mean is 0), or takes means of squares of mean x mean px. */
typedef struct {
    const edge_cns_micro_tap *columns; /* width of them */
    const edge_cns_micro_tap *rows;    /* height of them */
    uint16_t width;                    /* of what it makes, px */
    uint16_t height;
    uint16_t mean;   /* 0, 2 or 3 */
    uint16_t memory; /* where its rows lie in the scratch, in words */
} edge_cns_micro_step;

/* From a frame of one size to a tensor of one size. */
typedef struct {
    uint16_t frame_width; /* px */
    uint16_t frame_height;
    uint16_t region_x; /* the part of the frame that the network sees, px */
    uint16_t region_y;
    uint16_t region_width;
    uint16_t region_height;
    uint16_t tensor_width; /* px */
    uint16_t tensor_height;
    uint16_t left; /* where the picture lies in the tensor, px; around it is black */
    uint16_t top;
    uint16_t width;
    uint16_t height;
    uint16_t step_count;
    uint16_t row;           /* where a finished row lies in the scratch, in words */
    uint16_t scratch_words; /* of 16 bits */
    const edge_cns_micro_step *steps;
} edge_cns_micro_plan;

/* Gives the first pixel of row y of the frame, or NULL if it cannot. The row must stay as it is until the next call.
 * Rows are asked for at most once each and from top to bottom, and none outside the region: a camera may deliver them
 * while it reads them out. */
typedef const uint8_t *(*edge_cns_micro_reader)(void *context, uint32_t y);

/* Prepares a frame that comes row by row.
 *
 * tensor: tensor_width * tensor_height values, the network's input; every one is written.
 * scratch: scratch_words words; nothing needs to be in them and nothing of use is left in them.
 * Returns 0; -1 as soon as a row could not be had, and the tensor is then of no use. */
int edge_cns_micro_preprocess_rows(const edge_cns_micro_plan *plan, edge_cns_micro_reader read, void *context,
                                   int8_t *tensor, uint16_t *scratch);

/* Prepares a frame that lies in memory: frame_height rows, stride bytes apart. */
void edge_cns_micro_preprocess(const edge_cns_micro_plan *plan, const uint8_t *frame, size_t stride, int8_t *tensor,
                               uint16_t *scratch);

#ifdef __cplusplus
}
#endif

#endif
