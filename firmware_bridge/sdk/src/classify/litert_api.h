/* What this SDK calls of LiteRT's C API, in our own words after its documentation (ai.google.dev/edge/litert).
 *
 * The API's functions have changed their arguments between versions under the same names, and the library does not tell
 * its version. So the library is pinned by its digest (LITERT_BUILDS in engine_library.c), and one that is not listed
 * there is refused before anything in it runs. */
#ifndef EDGE_CNS_LITERT_API_H
#define EDGE_CNS_LITERT_API_H

#include <stddef.h>
#include <stdint.h>

typedef int litert_status; /* 0: it worked */
typedef struct litert_object *litert_handle;
typedef size_t litert_index;

enum { LITERT_CPU = 1, LITERT_LOCK_READ = 0, LITERT_LOCK_WRITE = 1, LITERT_INT8 = 9, LITERT_PER_TENSOR = 1 };
enum { LITERT_MOST_AXES = 8, LITERT_RANK = 0x7F };
enum { LITERT_OPTION_ACCELERATORS = 24, LITERT_OPTION_LOG = 25, LITERT_WHOLE_NUMBER = 2, LITERT_LOG_ERRORS = 3 };

/* An option of the environment whose value is a whole number. */
typedef struct litert_option {
  int32_t tag, unused;
  int32_t kind, unused_too;
  int64_t value;
} litert_option;

typedef struct litert_layout {
  uint8_t rank; /* in the bits of LITERT_RANK; the uppermost says whether there are strides */
  uint8_t unused[3];
  int32_t sides[LITERT_MOST_AXES];
  uint32_t strides[LITERT_MOST_AXES];
} litert_layout;

typedef struct litert_tensor_type {
  int32_t element;
  litert_layout layout;
} litert_tensor_type;

typedef struct litert_quantisation {
  float scale;
  int64_t zero_point;
} litert_quantisation;

_Static_assert(sizeof(litert_option) == 24, "LiteRT's layout");
_Static_assert(sizeof(litert_tensor_type) == 72, "LiteRT's layout");
_Static_assert(sizeof(litert_quantisation) == 16, "LiteRT's layout");

/* name, result, arguments */
#define LITERT_FUNCTIONS(F)                                                                                         \
  F(CreateEnvironment, litert_status, (int count, const litert_option *options, litert_handle *environment))        \
  F(DestroyEnvironment, void, (litert_handle environment))                                                          \
  F(CreateModelFromBuffer, litert_status,                                                                           \
    (litert_handle environment, const void *bytes, size_t size, litert_handle *model))                              \
  F(DestroyModel, void, (litert_handle model))                                                                      \
  F(GetNumModelSignatures, litert_status, (litert_handle model, litert_index * count))                              \
  F(GetModelSignature, litert_status, (litert_handle model, litert_index index, litert_handle * signature))         \
  F(GetSignatureKey, litert_status, (litert_handle signature, const char **key))                                    \
  F(GetNumSignatureInputs, litert_status, (litert_handle signature, litert_index * count))                          \
  F(GetSignatureInputTensorByIndex, litert_status,                                                                  \
    (litert_handle signature, litert_index index, litert_handle * tensor))                                          \
  F(GetNumSignatureOutputs, litert_status, (litert_handle signature, litert_index * count))                         \
  F(GetSignatureOutputName, litert_status, (litert_handle signature, litert_index index, const char **name))        \
  F(GetSignatureOutputTensorByIndex, litert_status,                                                                 \
    (litert_handle signature, litert_index index, litert_handle * tensor))                                          \
  F(GetRankedTensorType, litert_status, (litert_handle tensor, litert_tensor_type * type))                          \
  F(GetQuantizationTypeId, litert_status, (litert_handle tensor, int *kind))                                        \
  F(GetPerTensorQuantization, litert_status, (litert_handle tensor, litert_quantisation * quantisation))            \
  F(CreateOptions, litert_status, (litert_handle * options))                                                        \
  F(DestroyOptions, void, (litert_handle options))                                                                  \
  F(SetOptionsHardwareAccelerators, litert_status, (litert_handle options, int accelerators))                       \
  F(CreateOpaqueOptions, litert_status,                                                                             \
    (const char *identifier, void *payload, void (*destroy)(void *), litert_handle *opaque))                        \
  F(DestroyOpaqueOptions, void, (litert_handle opaque))                                                             \
  F(AddOpaqueOptions, litert_status, (litert_handle options, litert_handle opaque))                                 \
  F(CreateCompiledModel, litert_status,                                                                             \
    (litert_handle environment, litert_handle model, litert_handle options, litert_handle * compiled))              \
  F(DestroyCompiledModel, void, (litert_handle compiled))                                                           \
  F(GetCompiledModelInputBufferRequirements, litert_status,                                                         \
    (litert_handle compiled, litert_index signature, litert_index index, litert_handle * requirements))             \
  F(GetCompiledModelOutputBufferRequirements, litert_status,                                                        \
    (litert_handle compiled, litert_index signature, litert_index index, litert_handle * requirements))             \
  F(CreateManagedTensorBufferFromRequirements, litert_status,                                                       \
    (litert_handle environment, const litert_tensor_type *type, litert_handle requirements, litert_handle *buffer)) \
  F(DestroyTensorBuffer, void, (litert_handle buffer))                                                              \
  F(GetTensorBufferPackedSize, litert_status, (litert_handle buffer, size_t * bytes))                               \
  F(LockTensorBuffer, litert_status, (litert_handle buffer, void **memory, int mode))                               \
  F(UnlockTensorBuffer, litert_status, (litert_handle buffer))                                                      \
  F(RunCompiledModel, litert_status,                                                                                \
    (litert_handle compiled, litert_index signature, size_t inputs, litert_handle * input, size_t outputs,          \
     litert_handle * output))

typedef struct litert_api {
#define LITERT_MEMBER(name, result, arguments) result(*name) arguments; /* NOLINT(bugprone-macro-parentheses) */
  LITERT_FUNCTIONS(LITERT_MEMBER)
#undef LITERT_MEMBER
} litert_api;

#endif
