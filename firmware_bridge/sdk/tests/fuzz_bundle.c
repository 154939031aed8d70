/* libFuzzer over what the SDK reads of a bundle: the first byte chooses between JSON, a contract, packed data and
 * arrays.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I include -I src tests/fuzz_bundle.c src/classify/json.c src/classify/schema.c \
 *         src/classify/contract.c src/failure.c src/classify/inflate.c src/classify/arrays.c -lm -o fuzz_bundle
 *     ./fuzz_bundle -max_total_time=600 CORPUS
 */
#include <stdlib.h>
#include <string.h>

#include "classify/arrays.h"
#include "classify/contract.h"
#include "classify/inflate.h"
#include "classify/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_json(const uint8_t *data, size_t size) {
  json_document document;
  if (ec_json_parse((const char *)data, size, &document) == NULL) ec_json_free(&document);
}

static void try_contract(const uint8_t *data, size_t size) {
  static contract made;
  if (ec_contract_read((const char *)data, size, &made) != EDGE_CNS_OK) return;
  if (made.classes < 2 || made.classes > EDGE_CNS_MAX_CLASSES || made.input.width > 1024) abort();
  ec_contract_free(&made);
}

static void try_inflate(const uint8_t *data, size_t size) {
  static uint8_t out[1 << 16];
  ec_inflate_raw(data, size, out, size < 4 ? 0 : (size_t)(data[0] | data[1] << 8));
}

static volatile uint8_t seen;

static void try_array(const uint8_t *data, size_t size) {
  array found;
  if (!ec_array_read(data, size, "a", &found)) return;
  const uint8_t *bytes = found.values;
  size_t item = found.type == ARRAY_FLOAT32 ? sizeof(float) : 1;
  for (size_t i = 0; i < found.count * item; i++) seen = bytes[i];
  ec_array_free(&found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const tries[])(const uint8_t *, size_t) = {try_json, try_contract, try_inflate, try_array};
  if (size > 0) tries[data[0] % 4](data + 1, size - 1);
  return 0;
}
