/* What the files of the compute guest share. */
#ifndef COMPUTE_H
#define COMPUTE_H

#include "bench.h"

/* Compiled alone, so that it is the same code whoever calls it. */
#define ALONE __attribute__((noinline, noclone, noipa))

#define WORDS 8192
extern u64 words[WORDS], copies[WORDS];

/* Each takes how much is to be done, and returns what it has found. integer.c: */
u64 sieve(u64 rounds);
u64 hash(u64 steps);
void link_nodes(u64 count);
u64 chase(u64 steps);
u64 copy_words(u64 rounds);
u64 sort(u64 rounds);
u64 fib(u64 n);
u64 indirect(u64 calls);
/* float.c */
u64 sse(u64 rounds);
u64 scalar(u64 steps);

#endif
