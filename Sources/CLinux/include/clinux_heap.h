// The C library's heap, whose defaults suit machines with many cores.
#ifndef CLINUX_HEAP_H
#define CLINUX_HEAP_H
/// At most two arenas for all threads (glibc's default is eight for each core, each keeping what it once held).
void clinux_limit_heap(void);
/// Gives free memory back to the kernel.
void clinux_trim_heap(void);
#endif
