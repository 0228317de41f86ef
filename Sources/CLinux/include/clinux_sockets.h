// Sockets by IPv4 address. Not in Swift: an optimised build takes `sockaddr_in` for the one of whichever other C module
// of the package includes the same header, and then wants that one imported.
#ifndef CLINUX_SOCKETS_H
#define CLINUX_SOCKETS_H
#include <stdint.h>
/// A non-blocking socket of `kind` (SOCK_DGRAM, SOCK_STREAM) bound to a free port of `address` (network byte order),
/// closed on exec; -1 with errno.
int clinux_open_bound(int kind, uint32_t address);
/// The port that a socket is bound to, or 0.
uint16_t clinux_bound_port(int descriptor);
/// The address (network byte order) that the kernel would send from towards `destination`; 0 when there is no route.
uint32_t clinux_source_towards(uint32_t destination);
#endif
