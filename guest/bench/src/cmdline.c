/* The orders on the kernel's command line: words of the form name=value,value… */
#include "bench.h"

int next_arg(const char **at, struct arg *a)
{
	const char *s = *at;

	while (*s == ' ')
		s++;
	if (!*s)
		return 0;
	a->name = s;
	while (*s && *s != ' ' && *s != '=')
		s++;
	a->name_len = s - a->name;
	if (*s == '=')
		s++;
	a->value = s;
	while (*s && *s != ' ')
		s++;
	*at = s;
	return 1;
}

int is(const struct arg *a, const char *name)
{
	u32 i;

	for (i = 0; i < a->name_len && name[i] == a->name[i]; i++)
		;
	return i == a->name_len && !name[i];
}

int word(const char **at, const char *w)
{
	const char *s = *at;

	while (*w && *s == *w)
		s++, w++;
	if (*w || (*s && *s != ' ' && *s != ','))
		return 0;
	*at = s + (*s == ',');
	return 1;
}

u64 number(const char **at)
{
	const char *s = *at;
	u64 v = 0, base = 10, digit;

	if (s[0] == '0' && s[1] == 'x')
		s += 2, base = 16;
	for (;; s++) {
		digit = *s >= '0' && *s <= '9' ? *s - '0' : (*s | 32) >= 'a' && (*s | 32) <= 'f' ? (*s | 32) - 'a' + 10 : 99;
		if (digit >= base)
			break;
		v = v * base + digit;
	}
	switch (*s | 32) {
	case 'g':
		v <<= 10;
		/* fall through */
	case 'm':
		v <<= 10;
		/* fall through */
	case 'k':
		v <<= 10, s++;
	}
	*at = s + (*s == ',');
	return v;
}
