/* Computations with SSE2's registers. */
#include "compute.h"

typedef long long pair __attribute__((vector_size(16)));

/* Loads, additions and stores of 16 bytes. */
ALONE u64 sse(u64 rounds)
{
	pair sum = {0, 0}, v;
	u32 i;

	while (rounds--)
		for (i = 0; i < WORDS / 2; i++) {
			v = ((pair *)words)[i];
			sum += v;
			((pair *)copies)[i] = v ^ sum;
			barrier();
		}
	return sum[0] + sum[1];
}

/* Multiplications, additions and comparisons of doubles. */
ALONE u64 scalar(u64 steps)
{
	double re = 0, im = 0, r;
	u64 escapes = 0, i;

	for (i = 0; i < steps; i++) {
		r = re * re - im * im - 0.1;
		im = 2 * re * im + 0.65;
		re = r;
		if (re * re + im * im > 4) {
			re = im = 0;
			escapes++;
		}
	}
	return escapes * 1000 + (u64)(re * re * 100);
}
