#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>

int clinux_setns(int descriptor, int type) { return setns(descriptor, type); }
int clinux_unshare_network(void) { return unshare(CLONE_NEWNET); }
int clinux_pin_network_namespace(const char *path) {
    return mount("/proc/thread-self/ns/net", path, 0, MS_BIND, 0);
}
int clinux_unmount(const char *path) { return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW); }
int clinux_is_namespace(const char *path) {
    struct statfs about;
    if (statfs(path, &about) != 0) return -1;
    return about.f_type == NSFS_MAGIC;
}
