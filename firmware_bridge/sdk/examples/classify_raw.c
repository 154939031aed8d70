/* A machine without Python: it plays raw frames from a file or a pipe, and shows the verdict of each.
 *
 *     edge_cns_classify_raw NAME.cns /path/to/libLiteRt.so WIDTH HEIGHT grey8|grey16|bgr8 FILE|-
 *
 * A frame is WIDTH x HEIGHT pixels without anything between rows or frames. For each there is a line with tabs: number,
 * state, class, probability, novelty, latency in ms, reason.
 *
 * Research use only. Not a medical device.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_cns.h"

static const char *state_name(edge_cns_state state) {
  switch (state) {
    case EDGE_CNS_CLASS: return "class";
    case EDGE_CNS_INDETERMINATE: return "indeterminate";
    case EDGE_CNS_NOT_SUPPORTED_VIEW: return "not_supported_view";
    case EDGE_CNS_FROZEN: return "frozen";
    case EDGE_CNS_NO_SIGNAL: break;
  }
  return "no_signal";
}

static edge_cns_format format_of(const char *name) {
  static const char *const names[] = {"grey8", "grey16", "bgr8"};
  for (int i = 0; i < 3; i++)
    if (strcmp(name, names[i]) == 0) return (edge_cns_format)(EDGE_CNS_GREY8 + i);
  return (edge_cns_format)0;
}

static void show(const edge_cns_classifier *classifier, const edge_cns_result *result) {
  printf("%" PRIu64 "\t%s\t%s\t%.6f\t%.6f\t%.3f\t%s\n", result->sequence, state_name(result->state),
         edge_cns_classifier_class_name(classifier, result->label), (double)result->probability,
         (double)result->novelty, result->latency_ms, result->reason);
  fflush(stdout);
}

static int play(edge_cns_classifier *classifier, const edge_cns_frame *frame, FILE *file) {
  static edge_cns_result result;
  size_t size = (size_t)frame->width * frame->height * (size_t)frame->format;
  uint8_t *pixels = size == 0 ? NULL : malloc(size);
  int failed = pixels == NULL;
  while (!failed && fread(pixels, 1, size, file) == size) {
    failed = edge_cns_classify(classifier, pixels, frame, &result) != EDGE_CNS_OK;
    if (failed)
      fprintf(stderr, "edge_cns_classify_raw: %s\n", edge_cns_error());
    else
      show(classifier, &result);
  }
  free(pixels);
  return failed;
}

int main(int count, char **arguments) {
  if (count != 7) {
    fprintf(stderr, "usage: edge_cns_classify_raw NAME.cns LIBRARY WIDTH HEIGHT grey8|grey16|bgr8 FILE|-\n");
    return 2;
  }
  edge_cns_classifier_options options = EDGE_CNS_CLASSIFIER_OPTIONS_INIT;
  edge_cns_frame frame = {.format = format_of(arguments[5])};
  edge_cns_classifier *classifier;
  frame.width = (uint32_t)strtoul(arguments[3], NULL, 10);
  frame.height = (uint32_t)strtoul(arguments[4], NULL, 10);
  options.litert_library = arguments[2];
  options.max_width = frame.width;
  options.max_height = frame.height;
  if (edge_cns_classifier_open(arguments[1], &options, &classifier) != EDGE_CNS_OK) {
    fprintf(stderr, "edge_cns_classify_raw: %s\n", edge_cns_error());
    return 2;
  }
  FILE *file = strcmp(arguments[6], "-") == 0 ? stdin : fopen(arguments[6], "rb");
  int failed = file == NULL || play(classifier, &frame, file);
  if (file == NULL) perror(arguments[6]);
  if (file != NULL && file != stdin) fclose(file);
  edge_cns_classifier_close(classifier);
  return failed;
}
