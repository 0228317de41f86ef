// Starting a program from a threaded process, with what Glibc's Swift module hides.
#ifndef CLINUX_SPAWN_H
#define CLINUX_SPAWN_H
#include <sys/types.h>
/// Starts `program` in a session of its own: stdin from /dev/null, stdout and stderr appended to `log_file`, every
/// other descriptor closed. Returns 0 and sets `process`, or an errno value.
int clinux_spawn_detached(
    const char *program, char *const arguments[], char *const environment[], const char *log_file, pid_t *process);
/// Whether somebody accepts connections on the unix socket at `path`: 1 or 0.
int clinux_unix_socket_accepts(const char *path);
#endif
