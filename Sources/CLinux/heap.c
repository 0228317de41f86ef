#define _GNU_SOURCE
#include "clinux_heap.h"
#include <link.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void clinux_limit_heap(void) { mallopt(M_ARENA_MAX, 2); }
void clinux_trim_heap(void) { malloc_trim(0); }

// Only segments that may be executed and not written: no relocation was ever applied to them, so what the page cache
// has is what they hold, and the next instruction fetched from a page maps it again.
static int unmap_code(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size;
    (void)context;
    if (object->dlpi_name && strstr(object->dlpi_name, "linux-vdso")) return 0;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) || (segment->p_flags & PF_W)) continue;
        uintptr_t start = (object->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        uintptr_t end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz + page - 1) & ~(page - 1);
        madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void clinux_trim_code(void) { dl_iterate_phdr(unmap_code, NULL); }
