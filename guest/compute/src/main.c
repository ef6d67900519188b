/*
 * The compute guest: it runs the computations that the command line names, in its order, and prints on COM1 when each
 * begins and what it has found. "hash=6000000,3" is hash of 6000000, three times. ticks are the time stamp counter's.
 */
#include "compute.h"

static const struct computation {
	const char *name;
	u64 (*run)(u64);
	u64 nodes;		/* to be linked before */
} all[] = {
	{"sieve", sieve, 0}, {"hash", hash, 0}, {"chase", chase, 4096}, {"chase-big", chase, 131072}, {"copy", copy_words, 0},
	{"sort", sort, 0}, {"fib", fib, 0}, {"indirect", indirect, 0}, {"sse", sse, 0}, {"scalar", scalar, 0},
};

static void run(const struct computation *c, const char *args)
{
	u64 n = number(&args), times = number(&args), i, value = 0, ticks;

	if (c->nodes)
		link_nodes(c->nodes);
	for (i = 0; i < WORDS; i++)
		words[i] = i;
	print("begin=%s\n", c->name);
	ticks = rdtsc();
	for (i = 0; i < (times ? times : 1); i++)
		value = c->run(n);
	print("result=%s value=%x ticks=%d\n", c->name, value, rdtsc() - ticks);
}

void main(void)
{
	const char *at = (const char *)start_info->cmdline;
	struct arg a;
	u32 i;

	while (next_arg(&at, &a))
		for (i = 0; i < sizeof all / sizeof *all; i++)
			if (is(&a, all[i].name))
				run(&all[i], a.value);
	end();
}
