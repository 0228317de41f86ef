// Opening files of a container without ever leaving its file system.
#ifndef CLINUX_FILE_H
#define CLINUX_FILE_H
/// Opens the regular file `path` for reading as if `root` were the root directory: symbolic links and `..` cannot lead
/// out of it. Returns a descriptor, or -1 with errno.
int clinux_open_in_root(const char *root, const char *path);
/// Opens what `path` leads to when `root` is the root of every path and link on the way. `flags` are open(2)'s, O_CLOEXEC
/// is added; `mode` is for what it creates. Returns a descriptor, or -1 with errno.
int clinux_open_beneath(const char *root, const char *path, int flags, unsigned mode);
#endif
