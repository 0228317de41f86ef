// Many datagrams in one call (recvmmsg(2), sendmmsg(2)), which Glibc's Swift module leaves out.
#ifndef CLINUX_DATAGRAMS_H
#define CLINUX_DATAGRAMS_H
#include "clinux_heap.h"
#include "clinux_sockets.h"
#include <stddef.h>
#include <stdint.h>
/// Datagrams of one turn, and the most bytes of each query and each reply.
#define CLINUX_BATCH_CAPACITY 64
#define CLINUX_QUERY_MAX 2048
#define CLINUX_REPLY_MAX 4096
/// A sender's address, IPv4 in network byte order.
struct clinux_peer {
    uint32_t address;
    uint16_t port;
};
struct clinux_batch;
/// NULL when there is no memory.
struct clinux_batch *clinux_batch_create(void);
void clinux_batch_free(struct clinux_batch *batch);
/// Takes what is there without waiting and empties all replies; returns how many datagrams, or -1 with errno.
int clinux_batch_receive(struct clinux_batch *batch, int descriptor);
const uint8_t *clinux_batch_query(const struct clinux_batch *batch, int index, size_t *length);
struct clinux_peer clinux_batch_peer(const struct clinux_batch *batch, int index);
/// Room for CLINUX_REPLY_MAX bytes.
uint8_t *clinux_batch_reply(struct clinux_batch *batch, int index);
/// A length of 0 sends nothing.
void clinux_batch_set_reply(struct clinux_batch *batch, int index, size_t length);
/// Sends every reply to the sender of its query; what the kernel does not take at once is dropped, as UDP may.
void clinux_batch_send(struct clinux_batch *batch, int descriptor);
/// Sends one datagram; 0, or -1 with errno.
int clinux_datagram_send(int descriptor, struct clinux_peer peer, const uint8_t *bytes, size_t length);
/// Stops watching `descriptor`.
int clinux_epoll_remove(int epoll, int descriptor);
#endif
