/* Runs a converted model's preprocessing on the emulated board: frames.raw in, tensors.raw and model.raw out.
 *
 * Each frame is prepared twice, from memory and row by row, and the two must agree. */
#include <stdint.h>
#include <string.h>

#include "edge_cns_model.h"
#include "semihosting.h"

enum { TENSOR = EDGE_CNS_INPUT_WIDTH * EDGE_CNS_INPUT_HEIGHT };

static uint8_t frame[EDGE_CNS_FRAME_WIDTH * EDGE_CNS_FRAME_HEIGHT];
static int8_t from_memory[TENSOR];
static int8_t from_rows[TENSOR];
static uint16_t scratch[EDGE_CNS_SCRATCH_WORDS];

typedef struct {
    uint32_t next;
    uint8_t row[EDGE_CNS_FRAME_WIDTH]; /* one alone: the plan must not look back */
} camera;

static const uint8_t *read_row(void *context, uint32_t y)
{
    camera *source = (camera *)context;
    if (y < source->next || y >= EDGE_CNS_FRAME_HEIGHT) {
        return NULL;
    }
    source->next = y + 1u;
    memcpy(source->row, frame + (size_t)y * EDGE_CNS_FRAME_WIDTH, sizeof source->row);
    return source->row;
}

static int prepare(int tensors)
{
    static camera source;
    source.next = 0;
    memset(scratch, 0xA5, sizeof scratch);
    edge_cns_micro_preprocess(&edge_cns_plan, frame, EDGE_CNS_FRAME_WIDTH, from_memory, scratch);
    memset(scratch, 0x5A, sizeof scratch);
    if (edge_cns_micro_preprocess_rows(&edge_cns_plan, read_row, &source, from_rows, scratch) != 0) {
        return 0;
    }
    return memcmp(from_memory, from_rows, sizeof from_memory) == 0 &&
           semihosting_write(tensors, from_memory, sizeof from_memory);
}

static int keep_model(void)
{
    const int model = semihosting_open("model.raw", SEMIHOSTING_WRITE);
    const int kept = model >= 0 && ((uintptr_t)edge_cns_model & 15u) == 0u &&
                     semihosting_write(model, edge_cns_model, EDGE_CNS_MODEL_BYTES);
    semihosting_close(model);
    return kept;
}

int main(void)
{
    const int frames = semihosting_open("frames.raw", SEMIHOSTING_READ);
    const int tensors = semihosting_open("tensors.raw", SEMIHOSTING_WRITE);
    if (frames < 0 || tensors < 0 || !keep_model()) {
        return 1;
    }
    while (semihosting_read(frames, frame, sizeof frame)) {
        if (!prepare(tensors)) {
            return 1;
        }
    }
    semihosting_close(tensors);
    semihosting_close(frames);
    return 0;
}
