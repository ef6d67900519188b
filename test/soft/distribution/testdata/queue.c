/*
 * Structures without locks, used by several processors at once for some seconds: what an atomic instruction
 * or a fence does not order, or loses, shows in a sum or in an order.
 *
 *	queue THREADS SECONDS
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CELLS = 256, MOST = 64, NODES = 64 };

static atomic_bool stop;
static atomic_int failures;

static void fail(const char *what, uint64_t a, uint64_t b)
{
	if (atomic_fetch_add(&failures, 1) < 10)
		printf("%s: %#llx %#llx\n", what, (unsigned long long)a, (unsigned long long)b);
}

/* A bounded queue of several producers and consumers: D. Vyukov's. Plain loads and stores order what is in a cell. */
struct cell {
	_Atomic uint64_t turn;
	uint64_t value;
};
static struct cell cells[CELLS];
static _Atomic uint64_t head __attribute__((aligned(64))), tail __attribute__((aligned(64)));

static int put(uint64_t v)
{
	uint64_t at = atomic_load_explicit(&head, memory_order_relaxed);
	for (;;) {
		struct cell *c = &cells[at % CELLS];
		int64_t d = atomic_load_explicit(&c->turn, memory_order_acquire) - at;
		if (d < 0)
			return 0;
		if (d > 0)
			at = atomic_load_explicit(&head, memory_order_relaxed);
		else if (atomic_compare_exchange_weak_explicit(&head, &at, at + 1, memory_order_relaxed, memory_order_relaxed)) {
			c->value = v;
			atomic_store_explicit(&c->turn, at + 1, memory_order_release);
			return 1;
		}
	}
}

static int take(uint64_t *v)
{
	uint64_t at = atomic_load_explicit(&tail, memory_order_relaxed);
	for (;;) {
		struct cell *c = &cells[at % CELLS];
		int64_t d = atomic_load_explicit(&c->turn, memory_order_acquire) - (at + 1);
		if (d < 0)
			return 0;
		if (d > 0)
			at = atomic_load_explicit(&tail, memory_order_relaxed);
		else if (atomic_compare_exchange_weak_explicit(&tail, &at, at + 1, memory_order_relaxed, memory_order_relaxed)) {
			*v = c->value;
			atomic_store_explicit(&c->turn, at + CELLS, memory_order_release);
			return 1;
		}
	}
}

static _Atomic uint64_t put_sum, put_count, take_sum, take_count;
static atomic_int producing;

static void *producer(void *arg)
{
	uint64_t id = (uintptr_t)arg, n = 0, sum = 0;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t v = id << 48 | (n + 1);
		if (put(v))
			n++, sum += v;
		else
			sched_yield();
	}
	atomic_fetch_add(&put_sum, sum);
	atomic_fetch_add(&put_count, n);
	atomic_fetch_sub(&producing, 1);
	return NULL;
}

static void *consumer(void *arg)
{
	uint64_t last[MOST] = {0}, v, n = 0, sum = 0;
	(void)arg;
	for (;;) {
		int end = atomic_load(&producing) == 0;
		if (!take(&v)) {
			if (end)
				break;
			sched_yield();
			continue;
		}
		uint64_t id = v >> 48, i = v & 0xFFFFFFFFFFFF;
		if (id >= MOST || i <= last[id])
			fail("queue: out of order", v, id < MOST ? last[id] : 0);
		else
			last[id] = i;
		n++, sum += v;
	}
	atomic_fetch_add(&take_sum, sum);
	atomic_fetch_add(&take_count, n);
	return NULL;
}

/* A stack whose top is a pointer and a count, exchanged by CMPXCHG16B. Who holds a node is its only owner. */
struct node {
	struct node *next;
	_Atomic uint64_t owner;
};
typedef unsigned __int128 pair;
static struct node nodes[NODES];
static pair top __attribute__((aligned(16)));
static _Atomic uint64_t stack_count;

static pair pair_of(struct node *n, uint64_t count) { return (pair)count << 64 | (uintptr_t)n; }

static pair read_top(void) { return __sync_val_compare_and_swap(&top, (pair)0, (pair)0); }

static struct node *pop(void)
{
	pair old = read_top();
	for (;;) {
		struct node *n = (struct node *)(uintptr_t)old;
		if (!n)
			return NULL;
		pair seen = __sync_val_compare_and_swap(&top, old, pair_of(*(struct node *volatile *)&n->next, (uint64_t)(old >> 64) + 1));
		if (seen == old)
			return n;
		old = seen;
	}
}

static void push(struct node *n)
{
	pair old = read_top();
	for (;;) {
		*(struct node *volatile *)&n->next = (struct node *)(uintptr_t)old;
		pair seen = __sync_val_compare_and_swap(&top, old, pair_of(n, (uint64_t)(old >> 64) + 1));
		if (seen == old)
			return;
		old = seen;
	}
}

static void *stacker(void *arg)
{
	uint64_t id = (uintptr_t)arg + 1, n = 0;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		struct node *x = pop();
		if (!x)
			continue;
		uint64_t was = atomic_exchange_explicit(&x->owner, id, memory_order_relaxed);
		if (was)
			fail("stack: two owners", was, id);
		atomic_store_explicit(&x->owner, 0, memory_order_relaxed);
		push(x);
		n++;
	}
	atomic_fetch_add(&stack_count, n);
	return NULL;
}

/* Store, fence, load of the other's: one of two threads sees the other's store. Message passing: who sees the flag sees the data. */
static _Atomic uint64_t mine[2][8] __attribute__((aligned(64))), data[8] __attribute__((aligned(64))), flag __attribute__((aligned(64)));
enum { TRIES = 200 };
static uint64_t saw[2][TRIES];
static pthread_barrier_t barrier;
static uint64_t rounds;

static void *fencer(void *arg)
{
	int id = (uintptr_t)arg;
	for (uint64_t n = 1;; n++) {
		pthread_barrier_wait(&barrier);
		if (rounds == n - 1)
			return NULL;
		for (uint64_t i = 0; i < TRIES; i++) {
			uint64_t v = n * TRIES + i;
			atomic_store_explicit(&mine[id][0], v, memory_order_relaxed);
			atomic_thread_fence(memory_order_seq_cst);
			saw[id][i] = atomic_load_explicit(&mine[!id][0], memory_order_relaxed);
			if (id == 0) {
				atomic_store_explicit(&data[0], v, memory_order_relaxed);
				atomic_store_explicit(&flag, v, memory_order_release);
			} else {
				uint64_t f = atomic_load_explicit(&flag, memory_order_acquire), d = atomic_load_explicit(&data[0], memory_order_relaxed);
				if (d < f)
					fail("message: flag without data", f, d);
			}
		}
		pthread_barrier_wait(&barrier);
		for (uint64_t i = 0; id == 0 && i < TRIES; i++)
			if (saw[0][i] < n * TRIES + i && saw[1][i] < n * TRIES + i)
				fail("fence: neither saw the other", saw[0][i], saw[1][i]);
		pthread_barrier_wait(&barrier);
		if (id == 0)
			rounds = atomic_load(&stop) ? n : n + 1;
	}
}

static void run(const char *name, int seconds, int n, void *(*const f[])(void *))
{
	pthread_t t[MOST];
	atomic_store(&stop, 0);
	for (int i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, f[i], (void *)(uintptr_t)i))
			exit(2);
	nanosleep(&(struct timespec){.tv_sec = seconds}, NULL);
	atomic_store(&stop, 1);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	printf("%s: %s\n", name, atomic_load(&failures) ? "FAILED" : "ok");
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 4, seconds = argc > 2 ? atoi(argv[2]) : 5;
	void *(*f[MOST])(void *);
	if (n < 2)
		n = 2;
	if (n > MOST)
		n = MOST;
	for (uint64_t i = 0; i < CELLS; i++)
		atomic_init(&cells[i].turn, i);
	for (int i = 0; i < n; i++)
		f[i] = i % 2 ? consumer : producer;
	atomic_store(&producing, (n + 1) / 2);
	run("queue", seconds, n, f);
	if (put_sum != take_sum || put_count != take_count || !put_count)
		fail("queue: sums differ", put_sum - take_sum, put_count - take_count);
	for (int i = 0; i < NODES; i++)
		push(&nodes[i]);
	for (int i = 0; i < n; i++)
		f[i] = stacker;
	run("stack", seconds, n, f);
	int left = 0;
	while (pop())
		left++;
	if (left != NODES)
		fail("stack: nodes", left, NODES);
	pthread_barrier_init(&barrier, NULL, 2);
	rounds = 1;
	f[0] = f[1] = fencer;
	run("fences", seconds, 2, f);
	fprintf(stderr, "# %llu through the queue, %llu over the stack, %llu rounds\n", (unsigned long long)take_count,
		(unsigned long long)stack_count, (unsigned long long)rounds);
	return atomic_load(&failures) ? 1 : 0;
}
