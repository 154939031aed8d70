#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "edge_cns.h"
#include "classify/engine.h"
#include "failure.h"
#include "classify/sha256.h"

enum { PIECE = 16384 };

/* Libraries with the functions of litert_api.h. What they compute is shown by the golden vectors of each bundle. */
static const char *const LITERT_BUILDS[] = {
    "eec47eb35e2924b3166015887e652a58edc9af823ae38e02bf83bef2548300bb", /* ai-edge-litert 2.3.0, x86-64 */
    "b57687dc234d2b8b0598aef5a9c961ed24263df8f8b3f56adbee1cff618e544b", /* ai-edge-litert 2.3.0, aarch64 */
};
#define LITERT_WANTED "ai-edge-litert 2.3.0"

static edge_cns_status digest_of(const char *path, char text[65]) {
  uint8_t piece[PIECE];
  sha256 hash;
  ssize_t got = -1;
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor >= 0) {
    ec_sha256_begin(&hash);
    while ((got = read(descriptor, piece, sizeof piece)) > 0) ec_sha256_add(&hash, piece, (size_t)got);
    int error = errno;
    close(descriptor);
    errno = error;
  }
  if (got < 0) return ec_fail_errno(EDGE_CNS_ENGINE, "LiteRT's library cannot be read");
  ec_sha256_hex(&hash, text);
  return EDGE_CNS_OK;
}

static edge_cns_status check_build(const char *path) {
  char found[65];
  edge_cns_status status = digest_of(path, found);
  if (status != EDGE_CNS_OK) return status;
  for (size_t i = 0; i < sizeof LITERT_BUILDS / sizeof *LITERT_BUILDS; i++)
    if (strcmp(found, LITERT_BUILDS[i]) == 0) return EDGE_CNS_OK;
  return ec_fail(EDGE_CNS_UNSUPPORTED,
              "this is no LiteRT that the SDK knows (sha256 %.12s...); take libLiteRt.so of " LITERT_WANTED, found);
}

static edge_cns_status load_file(const char *path, litert_api *api) {
  edge_cns_status status = check_build(path);
  if (status != EDGE_CNS_OK) return status;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL), *symbol;
  if (library == NULL) return ec_fail(EDGE_CNS_ENGINE, "LiteRT cannot be loaded: %.240s", dlerror());
#define LITERT_FIND(name, result, arguments)                                           \
  symbol = dlsym(library, "LiteRt" #name);                                             \
  if (symbol == NULL) return ec_fail(EDGE_CNS_UNSUPPORTED, "LiteRT has no LiteRt" #name); \
  memcpy(&api->name, &symbol, sizeof symbol);
  LITERT_FUNCTIONS(LITERT_FIND)
#undef LITERT_FIND
  return EDGE_CNS_OK;
}

/* The loader would look for a bare name elsewhere than where its digest was taken. */
edge_cns_status ec_engine_load_library(const char *path, litert_api *api) {
  char *whole = realpath(path, NULL);
  if (whole == NULL) return ec_fail_errno(EDGE_CNS_ENGINE, "LiteRT's library cannot be read");
  edge_cns_status status = load_file(whole, api);
  free(whole);
  return status;
}
