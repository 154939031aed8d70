/* libFuzzer over every message that the SDK reads:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I include -I src tests/fuzz_wire.c src/ring/wire.c -o fuzz_wire
 *     ./fuzz_wire -max_total_time=600
 */
#include <stdlib.h>
#include <string.h>

#include "ring/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static edge_cns_result result;
  static char names[EDGE_CNS_MAX_CLASSES][EDGE_CNS_NAME_SIZE];
  char text[248];
  uint32_t classes, slot;
  /* The SDK has room for the largest message and one class name more than none; the size is what the kernel says. */
  if (size > WIRE_LARGEST) return 0;
  if (ec_wire_read_result(data, size, 1 + (uint32_t)(size % EDGE_CNS_MAX_CLASSES), &result)) {
    if (result.heat_rows * result.heat_columns > EDGE_CNS_MAX_HEAT || strlen(result.reason) >= sizeof result.reason) abort();
    if (result.label >= EDGE_CNS_MAX_CLASSES || result.label < -1) abort();
  }
  if (ec_wire_read_welcome(data, size, &classes, names) && (classes == 0 || strlen(names[classes - 1]) >= sizeof names[0])) abort();
  if (ec_wire_read_refused(data, size, text) && strlen(text) >= sizeof text) abort();
  if (ec_wire_read_release(data, size, 8, &slot) && slot >= 8) abort();
  return 0;
}
