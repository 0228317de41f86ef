// Linux calls that Glibc's Swift module hides because it is built without _GNU_SOURCE.
#ifndef CLINUX_H
#define CLINUX_H
int clinux_setns(int descriptor, int type);
// Gives the calling thread a new, empty network namespace.
int clinux_unshare_network(void);
// Makes the calling thread's network namespace live on as a file at `path`, which must exist.
int clinux_pin_network_namespace(const char *path);
// Unmounts at once and lets users of the mount finish.
int clinux_unmount(const char *path);
// 1 when `path` is a pinned namespace, 0 when it is not, -1 with errno.
int clinux_is_namespace(const char *path);
#endif
