#define _GNU_SOURCE
#include "ring/channel.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "failure.h"

#define PREFIX "edge-cns/ring/"

/* An abstract name is free for all, so that whoever serves it has to be looked at. */
static edge_cns_status check_peer(int channel, uint32_t peer_uid) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return ec_fail_errno(EDGE_CNS_SYSTEM, "who serves the ring cannot be told");
  if (peer.uid == 0 || peer.uid == geteuid() || peer.uid == peer_uid) return EDGE_CNS_OK;
  return ec_fail(EDGE_CNS_REFUSED, "the ring is served by user %u; name it in caps.peer_uid if that is right",
              (unsigned)peer.uid);
}

edge_cns_status ec_channel_connect(const char *name, uint32_t peer_uid, int *channel) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  *channel = -1;
  int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, PREFIX "%s", name);
  if (length < 0 || (size_t)length >= sizeof address.sun_path - 1)
    return ec_fail(EDGE_CNS_BAD_ARGUMENT, "the ring's name is too long");
  int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made < 0) return ec_fail_errno(EDGE_CNS_SYSTEM, "no socket");
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
  edge_cns_status status = EDGE_CNS_OK;
  if (connect(made, (const struct sockaddr *)&address, size) != 0) {
    if (errno == ECONNREFUSED || errno == EAGAIN)
      status = ec_fail(EDGE_CNS_UNAVAILABLE, "nobody serves ring://%s; start edge-cns run --source ring://%s", name, name);
    else
      status = ec_fail_errno(EDGE_CNS_SYSTEM, "no connection to the ring");
  } else {
    status = check_peer(made, peer_uid);
  }
  if (status != EDGE_CNS_OK) {
    close(made);
    return status;
  }
  *channel = made;
  return EDGE_CNS_OK;
}

edge_cns_status ec_channel_send(int channel, const void *message, size_t size, int descriptor) {
  struct iovec part = {.iov_base = (void *)message, .iov_len = size};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
  } control;
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  memset(&control, 0, sizeof control);
  if (descriptor >= 0) {
    header.msg_control = control.bytes;
    header.msg_controllen = sizeof control.bytes;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
  }
  ssize_t sent;
  do {
    sent = sendmsg(channel, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return EDGE_CNS_OK;
  if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) return EDGE_CNS_WOULD_BLOCK;
  return ec_fail(EDGE_CNS_DISCONNECTED, "the classifier is gone");
}

edge_cns_status ec_channel_receive(int channel, void *message, size_t size, size_t *received) {
  ssize_t got;
  do {
    got = recv(channel, message, size, MSG_DONTWAIT | MSG_TRUNC);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return EDGE_CNS_WOULD_BLOCK;
  if (got <= 0) return ec_fail(EDGE_CNS_DISCONNECTED, "the classifier is gone");
  if ((size_t)got > size) return ec_fail(EDGE_CNS_PROTOCOL, "the classifier sent a message of %zd bytes", got);
  *received = (size_t)got;
  return EDGE_CNS_OK;
}

void ec_channel_wait(int channel, int wake, int64_t until_ns) {
  struct pollfd watched[2] = {{.fd = channel, .events = POLLIN}, {.fd = wake, .events = POLLIN}};
  int milliseconds = -1;
  if (until_ns != INT64_MAX) {
    int64_t left = (until_ns - edge_cns_now() + 999999) / 1000000; /* rounded up: waking early would spin */
    milliseconds = left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
  }
  poll(watched, 2, milliseconds);
}
