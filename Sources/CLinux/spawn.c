#define _GNU_SOURCE
#include "clinux_spawn.h"
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int clinux_spawn_detached(
    const char *program, char *const arguments[], char *const environment[], const char *log_file, pid_t *process) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int status = posix_spawn_file_actions_init(&actions);
    if (status != 0) return status;
    status = posix_spawnattr_init(&attributes);
    if (status != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return status;
    }
    if (status == 0) status = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (status == 0)
        status = posix_spawn_file_actions_addopen(&actions, 1, log_file, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (status == 0) status = posix_spawn_file_actions_adddup2(&actions, 1, 2);
    // Sockets of the HTTP server are not close-on-exec: a child that kept them would keep clients waiting.
    if (status == 0) status = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (status == 0) status = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    if (status == 0) status = posix_spawn(process, program, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return status;
}

int clinux_unix_socket_accepts(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return 0;
    strcpy(address.sun_path, path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return 0;
    int accepted = connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0;
    close(descriptor);
    return accepted;
}
