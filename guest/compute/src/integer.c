/* Computations with general registers and memory. */
#include "compute.h"

#define SIEVE	65536
#define NODES	131072
#define SORTED	512

static u8 composite[SIEVE];

/* The primes below 65536: byte stores, short branches. */
ALONE u64 sieve(u64 rounds)
{
	u64 primes = 0;
	u32 i, j;

	while (rounds--) {
		for (i = 0; i < SIEVE; i++)
			composite[i] = 0;
		primes = 0;
		for (i = 2; i < SIEVE; i++) {
			if (composite[i])
				continue;
			primes++;
			for (j = i + i; j < SIEVE; j += i)
				composite[j] = 1;
		}
	}
	return primes;
}

/* Registers alone, with a branch that can't be predicted. */
ALONE u64 hash(u64 steps)
{
	u64 h = 0xcbf29ce484222325, x = 88172645463325252, i;

	for (i = 0; i < steps; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (x & 1)
			h = (h ^ x) * 0x100000001b3;
		else
			h += (h << 5) ^ (u32)i;
	}
	return h;
}

static u64 random(u64 *state) { return *state = *state * 6364136223846793005 + 1442695040888963407; }

/* A cache line each. */
static struct node { struct node *next; u64 value, at, pad[5]; } nodes[NODES] __attribute__((aligned(64)));

/* A ring of the first count nodes, in a random order. */
void link_nodes(u64 count)
{
	u64 state = 12345, i, j, at;

	for (i = 0; i < count; i++)
		nodes[i].value = nodes[i].at = i;
	for (i = count - 1; i > 0; i--) {
		j = (random(&state) >> 33) % i;
		at = nodes[i].at;
		nodes[i].at = nodes[j].at;
		nodes[j].at = at;
	}
	for (i = 0; i < count; i++)
		nodes[nodes[i].at].next = &nodes[nodes[(i + 1) % count].at];
}

/* Loads that depend on one another. */
ALONE u64 chase(u64 steps)
{
	struct node *n = nodes;
	u64 sum = 0;

	while (steps--) {
		sum += n->value;
		n = n->next;
	}
	return sum;
}

u64 words[WORDS] __attribute__((aligned(4096))), copies[WORDS] __attribute__((aligned(4096)));

/* Loads and stores of 8 bytes in sequence. */
ALONE u64 copy_words(u64 rounds)
{
	u64 sum = 0;
	u32 i;

	while (rounds--) {
		for (i = 0; i < WORDS; i++) {
			copies[i] = words[i] + rounds;
			barrier();
		}
		sum += copies[rounds % WORDS];
	}
	return sum;
}

/* An insertion sort of 512 words: loads, stores and branches that depend on them. */
ALONE u64 sort(u64 rounds)
{
	u64 sum = 0, state, v;
	u32 i, j;

	while (rounds--) {
		state = rounds + 1;
		for (i = 0; i < SORTED; i++)
			words[i] = random(&state) >> 20;
		for (i = 1; i < SORTED; i++) {
			v = words[i];
			for (j = i; j > 0 && words[j - 1] > v; j--) {
				words[j] = words[j - 1];
				barrier();
			}
			words[j] = v;
		}
		sum += words[100];
	}
	return sum;
}

/* Calls, returns, pushes and pops. */
ALONE __attribute__((optimize("no-optimize-sibling-calls", "no-inline"))) u64 fib(u64 n)
{
	if (n < 2)
		return n;
	return fib(n - 1) + fib(n - 2);
}

static u64 total;

ALONE static void add(u64 v) { total += v; }
ALONE static void mix(u64 v) { total ^= v << 1; }
ALONE static void subtract(u64 v) { total -= v; }
ALONE static void rotate(u64 v) { total = (total << 3 | total >> 61) + (v & 1); }

/* Calls by pointers, in a random order. */
ALONE u64 indirect(u64 calls)
{
	static void (*const volatile functions[4])(u64) = {add, mix, subtract, rotate};
	u64 state = 88172645463325252, i;

	total = 0;
	for (i = 0; i < calls; i++)
		functions[random(&state) >> 60 & 3](i);
	return total;
}
