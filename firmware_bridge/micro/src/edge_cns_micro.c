#include "edge_cns_micro.h"

#define NONE UINT32_MAX

/* The memory of a step: two words, then its rows.
 *
 * A step that samples keeps two rows of its input, already sampled along x, even rows in one place and odd rows in the
 * other; the words say which they are, counted from 1 so that 0 is none. A step that takes means keeps sums along both
 * axes; the first word says of how many rows. */
#define HEADER 2

/* The row of its input that a step lacks before it can make a row; NONE if it has all. */
static uint32_t lacking(const edge_cns_micro_step *step, const uint16_t *memory, uint32_t row)
{
    if (step->mean != 0u) {
        return memory[0] < step->mean ? row * step->mean + memory[0] : NONE;
    }
    const edge_cns_micro_tap *tap = &step->rows[row];
    if (tap->weight_from != 0u && memory[tap->from & 1u] != tap->from + 1u) {
        return tap->from;
    }
    if (tap->weight_to != 0u && memory[tap->to & 1u] != tap->to + 1u) {
        return tap->to;
    }
    return NONE;
}

static void add_row(const edge_cns_micro_step *step, uint16_t *memory, const uint8_t *in)
{
    uint16_t *sums = memory + HEADER;
    const uint32_t mean = step->mean;
    for (uint32_t x = 0; x < step->width; ++x) {
        uint32_t sum = memory[0] == 0u ? 0u : sums[x];
        for (uint32_t i = 0; i < mean; ++i) {
            sum += in[x * mean + i];
        }
        sums[x] = (uint16_t)sum;
    }
    ++memory[0];
}

static void sample_row(const edge_cns_micro_step *step, uint16_t *memory, uint32_t row, const uint8_t *in)
{
    uint16_t *out = memory + HEADER + (row & 1u) * step->width;
    for (uint32_t x = 0; x < step->width; ++x) {
        const edge_cns_micro_tap *tap = &step->columns[x];
        const uint32_t sample = (uint32_t)in[tap->from] * tap->weight_from + (uint32_t)in[tap->to] * tap->weight_to;
        out[x] = (uint16_t)(sample >> 4); /* at most 255 * 2048 / 16 */
    }
    memory[row & 1u] = (uint16_t)(row + 1u);
}

static void make_row(const edge_cns_micro_step *step, uint16_t *memory, uint32_t row, uint8_t *out)
{
    if (step->mean != 0u) {
        const uint32_t count = (uint32_t)step->mean * step->mean;
        for (uint32_t x = 0; x < step->width; ++x) {
            out[x] = (uint8_t)((memory[HEADER + x] + count / 2u) / count);
        }
        memory[0] = 0;
        return;
    }
    const edge_cns_micro_tap *tap = &step->rows[row];
    const uint16_t *from = memory + HEADER + (tap->from & 1u) * step->width;
    const uint16_t *to = memory + HEADER + (tap->to & 1u) * step->width;
    for (uint32_t x = 0; x < step->width; ++x) {
        const uint32_t a = ((uint32_t)from[x] * tap->weight_from) >> 16;
        const uint32_t b = ((uint32_t)to[x] * tap->weight_to) >> 16;
        out[x] = (uint8_t)((a + b + 2u) >> 2);
    }
}

/* Makes one row of the picture. Each step is asked for a row, asks the one before it for what it lacks, and so on down
 * to the frame; what was asked for is noted by level, level 0 being the frame, so nothing calls itself. */
static const uint8_t *picture_row(const edge_cns_micro_plan *plan, edge_cns_micro_reader read, void *context,
                                  uint16_t *scratch, uint32_t row)
{
    uint32_t asked[EDGE_CNS_MICRO_MAX_STEPS + 1];
    uint8_t *made = (uint8_t *)(scratch + plan->row);
    uint32_t level = plan->step_count;
    asked[level] = row;
    for (;;) {
        const uint8_t *line = made;
        if (level == 0u) {
            line = read(context, plan->region_y + asked[0]);
            if (line == NULL) {
                return NULL;
            }
            line += plan->region_x;
        } else {
            const edge_cns_micro_step *maker = &plan->steps[level - 1u];
            const uint32_t missing = lacking(maker, scratch + maker->memory, asked[level]);
            if (missing != NONE) {
                asked[--level] = missing;
                continue;
            }
            make_row(maker, scratch + maker->memory, asked[level], made);
        }
        if (level == plan->step_count) {
            return line;
        }
        const edge_cns_micro_step *taker = &plan->steps[level];
        if (taker->mean != 0u) {
            add_row(taker, scratch + taker->memory, line);
        } else {
            sample_row(taker, scratch + taker->memory, asked[level], line);
        }
        ++level;
    }
}

int edge_cns_micro_preprocess_rows(const edge_cns_micro_plan *plan, edge_cns_micro_reader read, void *context,
                                   int8_t *tensor, uint16_t *scratch)
{
    for (uint32_t i = 0; i < plan->scratch_words; ++i) {
        scratch[i] = 0;
    }
    for (uint32_t i = 0; i < (uint32_t)plan->tensor_width * plan->tensor_height; ++i) {
        tensor[i] = INT8_MIN; /* black */
    }
    for (uint32_t y = 0; y < plan->height; ++y) {
        const uint8_t *picture = picture_row(plan, read, context, scratch, y);
        if (picture == NULL) {
            return -1;
        }
        int8_t *out = tensor + (plan->top + y) * plan->tensor_width + plan->left;
        for (uint32_t x = 0; x < plan->width; ++x) {
            out[x] = (int8_t)((int)picture[x] - 128);
        }
    }
    return 0;
}

typedef struct {
    const uint8_t *pixels;
    size_t stride;
} in_memory;

static const uint8_t *read_memory(void *context, uint32_t y)
{
    const in_memory *frame = (const in_memory *)context;
    return frame->pixels + y * frame->stride;
}

void edge_cns_micro_preprocess(const edge_cns_micro_plan *plan, const uint8_t *frame, size_t stride, int8_t *tensor,
                               uint16_t *scratch)
{
    in_memory source = {frame, stride};
    (void)edge_cns_micro_preprocess_rows(plan, read_memory, &source, tensor, scratch);
}
