// What this process keeps in memory: the C library's heap, whose defaults suit machines with many cores, and code.
#ifndef CLINUX_HEAP_H
#define CLINUX_HEAP_H
/// At most two arenas for all threads (glibc's default is eight for each core, each keeping what it once held).
void clinux_limit_heap(void);
/// Gives free memory back to the kernel.
void clinux_trim_heap(void);
/// Unmaps the pages of the program's and its libraries' code: they stay in the kernel's page cache, which may now use
/// them for something else, and those in use come back at their next instruction. Code run once at start is most of it.
void clinux_trim_code(void);
#endif
