/* Compiled and run in the guest and in the chroot: what it prints depends on the processor alone. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252ull;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

int main(void)
{
	static uint64_t v[20000];
	uint64_t sum = 0;
	double d = 0;
	long double l = 1;
	float f = 0;
	char text[256];

	for (int i = 0; i < 20000; i++)
		v[i] = next();
	qsort(v, 20000, sizeof v[0], compare);
	for (int i = 0; i < 20000; i++) {
		sum = sum * 31 + (v[i] % (i + 1)) * (int64_t)(v[i] / (i + 3)) + (v[i] >> (i & 63));
		sum ^= (uint64_t)__builtin_popcountll(v[i]) << 7 ^ __builtin_bswap64(v[i]);
	}
	printf("integers %016llx\n", (unsigned long long)sum);
	for (int i = 1; i < 3000; i++) {
		d += sin(i) * sqrt(i) / (1 + exp(-i / 100.0)) + atan2(i, 3) + fmod(i * 1e6, 7.25);
		f += (float)i / 3.0f;
		l = l * (1 + 1.0L / (i * (long double)i)) + logl(i) / 1e6L;
	}
	printf("double %.17g float %.9g long double %.21Lg\n", d, f, l);
	printf("rounded %lld %lld %.3f %a\n", llrint(d), llround(-d), d, d);
	memset(text, 0, sizeof text);
	for (int i = 0; i < 200; i++)
		text[i] = 'a' + next() % 26;
	printf("text %zu %zu %d %s\n", strcspn(text, "z"), strspn(text, "abcdefghijklm"), strcmp(text, text + 1) < 0, strstr(text, "q") ? "q" : "-");
	return 0;
}
