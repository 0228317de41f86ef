#define _GNU_SOURCE
#include "clinux_sockets.h"
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

int clinux_open_bound(int kind, uint32_t address) {
    int descriptor = socket(AF_INET, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -1;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {address}};
    if (bind(descriptor, (struct sockaddr *)&name, sizeof name) == 0) return descriptor;
    int reason = errno;
    close(descriptor);
    errno = reason;
    return -1;
}

uint16_t clinux_bound_port(int descriptor) {
    struct sockaddr_in name = {0};
    socklen_t length = sizeof name;
    if (getsockname(descriptor, (struct sockaddr *)&name, &length) != 0) return 0;
    return ntohs(name.sin_port);
}

uint32_t clinux_source_towards(uint32_t destination) {
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return 0;
    // Connecting a datagram socket looks up the route and sends nothing.
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {destination}};
    socklen_t length = sizeof name;
    int status = connect(descriptor, (struct sockaddr *)&name, length);
    if (status == 0) status = getsockname(descriptor, (struct sockaddr *)&name, &length);
    close(descriptor);
    return status == 0 ? name.sin_addr.s_addr : 0;
}
