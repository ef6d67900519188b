/* The command line: tokens between blanks, as in Linux. check.Cmdline in check.go writes it. */
#include "check.h"

#define LIMIT 0x10000		/* bytes that are looked at */

static const char *cmdline;
static u32 length;

void cmdline_open(void)
{
	u64 addr = start_info ? start_info->cmdline : 0;

	if (addr == 0 || addr >> 32)
		return;
	cmdline = (const char *)(u32)addr;
	while (length < LIMIT && cmdline[length])
		length++;
	if (length == LIMIT)
		length = 0;
}

const char *arg(const char *name)
{
	u32 i, j;

	for (i = 0; i < length; i++) {
		if (i && cmdline[i - 1] != ' ')
			continue;
		for (j = 0; name[j] && cmdline[i + j] == name[j]; j++)
			;
		if (name[j])
			continue;
		if (cmdline[i + j] == '=')
			return cmdline + i + j + 1;
		if (cmdline[i + j] == ' ' || cmdline[i + j] == 0)
			return cmdline + i + j;
	}
	return 0;
}

int arg_is(const char *name, const char *value)
{
	const char *s = arg(name);

	if (!s)
		return 0;
	while (*value && *s == *value)
		s++, value++;
	return *value == 0 && (*s == ' ' || *s == 0);
}

static u32 digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

static u64 number(const char *s)
{
	u32 base = 10;
	u64 v = 0;

	if (s[0] == '0' && s[1] == 'x') {
		base = 16;
		s += 2;
	}
	while (digit(*s) < base)
		v = v * base + digit(*s++);
	switch (*s | 0x20) {
	case 'g': v <<= 10; /* fall through */
	case 'm': v <<= 10; /* fall through */
	case 'k': v <<= 10;
	}
	return v;
}

u64 arg_number(const char *name, u64 absent)
{
	const char *s = arg(name);

	return s ? number(s) : absent;
}

/* Over little-endian words, the last one filled up with zeros; rotation makes it depend on the order. */
u32 sum(const u8 *p, u32 size)
{
	u32 v = size, word, i, n;

	while (size) {
		n = size < 4 ? size : 4;
		if (n == 4)
			word = *(const u32 *)p;
		else
			for (word = i = 0; i < n; i++)
				word |= p[i] << 8 * i;
		v = (v << 5 | v >> 27) + word;
		p += n;
		size -= n;
	}
	return v;
}

/*
 * check=0xSUM … check-end: SUM is that of all between "check=0xSUM " and " check-end". So a monitor may add what it
 * likes in front and behind, but what it was given must arrive whole.
 */
void check_cmdline(void)
{
	const char *title = "the command line arrives byte for byte";
	const char *from = arg("check"), *to = arg("check-end");

	if (!cmdline)
		bad(title, "no command line in start info", 0, "one below 4 GiB");
	else if (!length)
		bad(title, "none, or no NUL in its first 64 KiB", 0, "text with an end");
	else if (!from)
		bad(title, "no token check=", 0, "the text given to the monitor");
	else if (!to)
		bad(title, "no token check-end in %d bytes", length, "the text given to the monitor, whole");
	else {
		u32 want = number(from);

		to -= sizeof " check-end" - 1;
		while (*from && *from != ' ')
			from++;
		from++;
		point(title, to > from ? sum((const u8 *)from, to - from) : 0, want);
	}
	print("# cmdline: ");
	{
		/* Enough to recognise it; a long one would cost an exit a byte. */
		u32 i, n = length < 160 ? length : 160;

		for (i = 0; i < n; i++)
			print("%c", cmdline[i] >= ' ' && cmdline[i] <= '~' ? cmdline[i] : '?');
	}
	print("\n# cmdline-length: %d\n", length);
}
