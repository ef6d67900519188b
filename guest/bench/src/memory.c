/* Memory: a bump allocator in the first 128 MiB, and page tables that grow with what devices need. */
#include "bench.h"

#define POOL		0x1000000ull	/* the image, and what monitors lay low, are below */
#define POOL_END	0x7000000ull

static u64 pool = POOL;

void *alloc(u64 size)
{
	u64 at = pool;

	pool += (size + 4095) & ~4095ull;
	if (pool > POOL_END) {
		print("error=memory\n");
		end();
	}
	return (void *)at;
}

static u64 *table(u64 *entry)
{
	if (!(*entry & 1))
		*entry = (u64)alloc(4096) | 0x67;
	return (u64 *)(*entry & 0xffffffffff000);
}

/* From not present to present nothing has to be flushed, which CPL 3 couldn't do. */
void map(u64 addr, u64 size)
{
	u64 at;

	for (at = addr & ~0x1fffffull; at < addr + size; at += 0x200000) {
		u64 *pdpt = table(&pml4[at >> 39 & 511]), *pd = table(&pdpt[at >> 30 & 511]);

		if (!(pd[at >> 21 & 511] & 1))
			pd[at >> 21 & 511] = at | 0xe7;
	}
}

void copy(void *to, const void *from, u64 size)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

void zero(void *to, u64 size)
{
	asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(0) : "memory");
}
