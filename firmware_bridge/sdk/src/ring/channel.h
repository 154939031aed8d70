/* The socket to the classifier: whole messages, and its end is seen at once. */
#ifndef EDGE_CNS_CHANNEL_H
#define EDGE_CNS_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "edge_cns.h"

/* Connect to who serves ring://NAME, if that is somebody whom we trust. *channel is -1 unless the status is OK. */
edge_cns_status ec_channel_connect(const char *name, uint32_t peer_uid, int *channel);

/* Send a whole message, with a descriptor unless that is -1. Never waits: OK, WOULD_BLOCK or DISCONNECTED. */
edge_cns_status ec_channel_send(int channel, const void *message, size_t size, int descriptor);

/* Receive a message of at most `size` bytes. Never waits: OK, WOULD_BLOCK or DISCONNECTED. */
edge_cns_status ec_channel_receive(int channel, void *message, size_t size, size_t *received);

/* Wait for something to receive, or for `wake` (unless -1) to become readable, until `until_ns`; INT64_MAX: for ever. */
void ec_channel_wait(int channel, int wake, int64_t until_ns);

#endif
