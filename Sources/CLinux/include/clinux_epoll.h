// epoll, which Glibc's Swift module leaves out.
#ifndef CLINUX_EPOLL_H
#define CLINUX_EPOLL_H
int clinux_epoll_create(void);
/// Watches `descriptor` for input.
int clinux_epoll_add(int epoll, int descriptor);
/// Watches `descriptor` for one event: room to write when `writable` is not 0, else input. To be asked again after it.
int clinux_epoll_arm(int epoll, int descriptor, int writable);
/// Waits without a time-out; writes at most `capacity` ready descriptors and returns how many, or -1.
int clinux_epoll_wait(int epoll, int *ready, int capacity);
#endif
