// epoll, which Glibc's Swift module leaves out.
#ifndef CLINUX_EPOLL_H
#define CLINUX_EPOLL_H
int clinux_epoll_create(void);
/// Watches `descriptor` for input.
int clinux_epoll_add(int epoll, int descriptor);
/// Waits without a time-out; writes at most `capacity` ready descriptors and returns how many, or -1.
int clinux_epoll_wait(int epoll, int *ready, int capacity);
#endif
