#include "clinux_heap.h"
#include <malloc.h>

void clinux_limit_heap(void) { mallopt(M_ARENA_MAX, 2); }
void clinux_trim_heap(void) { malloc_trim(0); }
