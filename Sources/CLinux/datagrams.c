#define _GNU_SOURCE
#include "clinux_datagrams.h"
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct clinux_batch {
    struct mmsghdr received[CLINUX_BATCH_CAPACITY];
    struct mmsghdr sent[CLINUX_BATCH_CAPACITY];
    struct iovec query_vectors[CLINUX_BATCH_CAPACITY];
    struct iovec reply_vectors[CLINUX_BATCH_CAPACITY];
    struct sockaddr_in peers[CLINUX_BATCH_CAPACITY];
    uint8_t queries[CLINUX_BATCH_CAPACITY][CLINUX_QUERY_MAX];
    uint8_t replies[CLINUX_BATCH_CAPACITY][CLINUX_REPLY_MAX];
    size_t reply_lengths[CLINUX_BATCH_CAPACITY];
    int count;
};

struct clinux_batch *clinux_batch_create(void) {
    struct clinux_batch *batch = calloc(1, sizeof(struct clinux_batch));
    if (batch == NULL) return NULL;
    for (int index = 0; index < CLINUX_BATCH_CAPACITY; index++) {
        batch->query_vectors[index] = (struct iovec){batch->queries[index], CLINUX_QUERY_MAX};
        batch->received[index].msg_hdr = (struct msghdr){.msg_name = &batch->peers[index],
                                                         .msg_namelen = sizeof batch->peers[index],
                                                         .msg_iov = &batch->query_vectors[index], .msg_iovlen = 1};
    }
    return batch;
}
void clinux_batch_free(struct clinux_batch *batch) { free(batch); }

int clinux_batch_receive(struct clinux_batch *batch, int descriptor) {
    // Only what the last turn used was written by the kernel.
    for (int index = 0; index < batch->count; index++) {
        batch->received[index].msg_hdr.msg_namelen = sizeof batch->peers[index];
        batch->reply_lengths[index] = 0;
    }
    int count = recvmmsg(descriptor, batch->received, CLINUX_BATCH_CAPACITY, MSG_DONTWAIT, NULL);
    batch->count = count < 0 ? 0 : count;
    return count;
}

const uint8_t *clinux_batch_query(const struct clinux_batch *batch, int index, size_t *length) {
    // A datagram that did not fit is no query of ours.
    int is_cut = batch->received[index].msg_hdr.msg_flags & MSG_TRUNC;
    *length = is_cut ? 0 : batch->received[index].msg_len;
    return batch->queries[index];
}

struct clinux_peer clinux_batch_peer(const struct clinux_batch *batch, int index) {
    return (struct clinux_peer){batch->peers[index].sin_addr.s_addr, batch->peers[index].sin_port};
}

uint8_t *clinux_batch_reply(struct clinux_batch *batch, int index) { return batch->replies[index]; }
void clinux_batch_set_reply(struct clinux_batch *batch, int index, size_t length) {
    batch->reply_lengths[index] = length;
}

void clinux_batch_send(struct clinux_batch *batch, int descriptor) {
    unsigned count = 0;
    for (int index = 0; index < batch->count; index++) {
        if (batch->reply_lengths[index] == 0) continue;
        batch->reply_vectors[count] = (struct iovec){batch->replies[index], batch->reply_lengths[index]};
        batch->sent[count].msg_hdr = (struct msghdr){
            .msg_name = &batch->peers[index], .msg_namelen = sizeof batch->peers[index],
            .msg_iov = &batch->reply_vectors[count], .msg_iovlen = 1};
        count++;
    }
    for (unsigned done = 0; done < count;) {
        int sent = sendmmsg(descriptor, batch->sent + done, count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        // The first of the rest cannot be sent (its client is gone, or the buffer is full): go on behind it.
        done += sent > 0 ? (unsigned)sent : 1;
    }
}

int clinux_datagram_send(int descriptor, struct clinux_peer peer, const uint8_t *bytes, size_t length) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = peer.port, .sin_addr = {peer.address}};
    ssize_t sent = sendto(descriptor, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name, sizeof name);
    return sent < 0 ? -1 : 0;
}

int clinux_epoll_remove(int epoll, int descriptor) { return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL); }
