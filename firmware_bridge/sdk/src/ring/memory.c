#define _GNU_SOURCE
#include "ring/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "failure.h"
#include "ring/wire.h"

#define PAGE UINT64_C(4096)

edge_cns_status ec_ring_memory_make(ring_memory *memory, uint64_t frame_bytes, uint32_t slots) {
  ring_memory made = {.descriptor = -1, .slots = slots};
  made.slot_bytes = (frame_bytes + PAGE - 1) / PAGE * PAGE;
  made.size = made.slot_bytes * slots;
  if (made.size > WIRE_MAX_MEMORY)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "%u slots of %llu bytes are more than 1 GiB; give fewer slots or a smaller frame",
                slots, (unsigned long long)made.slot_bytes);
  made.descriptor = memfd_create("edge-cns-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (made.descriptor < 0) return ec_fail_errno(EDGE_CNS_SYSTEM, "no memory file for the ring");
  void *bytes = MAP_FAILED;
  /* Sealed, so that the classifier cannot be made to read behind its end. */
  if (ftruncate(made.descriptor, (off_t)made.size) == 0 &&
      fcntl(made.descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
    bytes = mmap(NULL, made.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, made.descriptor, 0);
  if (bytes == MAP_FAILED) {
    edge_cns_status status = ec_fail_errno(EDGE_CNS_SYSTEM, "no memory for the ring");
    close(made.descriptor);
    return status;
  }
  made.bytes = bytes;
  *memory = made;
  return EDGE_CNS_OK;
}

void ec_ring_memory_free(ring_memory *memory) {
  if (memory->descriptor < 0) return;
  munmap(memory->bytes, memory->size);
  close(memory->descriptor);
  memory->descriptor = -1;
  memory->bytes = NULL;
}
