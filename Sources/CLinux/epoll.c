#define _GNU_SOURCE
#include "clinux_epoll.h"
#include <errno.h>
#include <sys/epoll.h>

enum { EVENTS_MAX = 64 };

int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int clinux_epoll_add(int epoll, int descriptor) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = descriptor}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

int clinux_epoll_arm(int epoll, int descriptor, int writable) {
    struct epoll_event event = {.events = (writable ? EPOLLOUT : EPOLLIN) | EPOLLONESHOT, .data = {.fd = descriptor}};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event) == 0) return 0;
    return errno == ENOENT ? epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) : -1;
}

int clinux_epoll_wait(int epoll, int *ready, int capacity) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(epoll, events, capacity < EVENTS_MAX ? capacity : EVENTS_MAX, -1);
    for (int i = 0; i < count; i++) ready[i] = events[i].data.fd;
    return count;
}
