#define _GNU_SOURCE
#include "clinux_file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int clinux_open_beneath(const char *root, const char *path, int flags, unsigned mode) {
    int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return -1;
    struct open_how how = {.flags = (unsigned long long)flags | O_CLOEXEC, .mode = mode,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int descriptor = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
    int failure = errno;
    close(directory);
    errno = failure;
    return descriptor;
}

int clinux_open_in_root(const char *root, const char *path) {
    int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return -1;
    // A FIFO or device in the file's place must not make the open wait.
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int descriptor = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
    int failure = errno;
    close(directory);
    struct stat about;
    if (descriptor >= 0 && (fstat(descriptor, &about) != 0 || !S_ISREG(about.st_mode))) {
        close(descriptor);
        descriptor = -1;
        failure = EINVAL;
    }
    errno = failure;
    return descriptor;
}
