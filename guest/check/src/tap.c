/*
 * Output on COM1 by polling, and the Test Anything Protocol on top of it (testanything.org, version 13).
 *
 * Output goes out in lines. A line starts when the transmitter is empty and its FIFO takes 16 bytes at a time, because
 * each look at the line status costs an exit.
 */
#include <stdarg.h>

#include "check.h"

#define POINTS 54		/* the plan; one point() below for each */

static char line[256];
static u32 used, fifo, number, failed;
static int silent;

void serial_open(void)
{
	outb(COM1 + 1, 0);			/* no interrupts */
	outb(COM1 + 3, 3);			/* 8N1 */
	outb(COM1 + 2, 7);			/* FIFO on, both emptied */
	outb(COM1 + 4, 0x0b);			/* DTR, RTS and OUT2, which gates the interrupt */
	fifo = (inb(COM1 + 2) & 0xc0) == 0xc0 ? 16 : 1;
	if (arg("nocheck"))
		print("1..0 # SKIP nocheck\n");
	else
		print("1..%d\n", POINTS);
}

void silence(int on)
{
	silent = on;
}

void flush(void)
{
	u32 i, tries;

	for (i = 0; i < used; i++) {
		/* A port without a transmitter must not hang the guest: the text is lost either way. */
		for (tries = 0; i % fifo == 0 && !(inb(COM1 + 5) & 0x20) && tries < 1000000; tries++)
			pause();
		outb(COM1, line[i]);
	}
	used = 0;
}

static void put(char c)
{
	if (silent)
		return;
	line[used++] = c;
	if (c == '\n' || used == sizeof line)
		flush();
}

static void put_hex(u64 v)
{
	int shift = 60;

	while (shift && !(v >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put("0123456789abcdef"[(v >> shift) & 15]);
}

static void put_decimal(u32 v)
{
	if (v >= 10)
		put_decimal(v / 10);
	put('0' + v % 10);
}

static void vprint(const char *format, va_list args)
{
	const char *s;

	for (; *format; format++) {
		if (*format != '%') {
			put(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			for (s = va_arg(args, const char *); *s; s++)
				put(*s);
			break;
		case 'c':
			put(va_arg(args, int));
			break;
		case 'd':
			put_decimal(va_arg(args, u32));
			break;
		case 'x':
			put('0');
			put('x');
			put_hex(va_arg(args, u32));
			break;
		case 'X':
			put('0');
			put('x');
			put_hex(va_arg(args, u64));
			break;
		}
	}
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint(format, args);
	va_end(args);
}

static void head(int ok, const char *title)
{
	number++;
	failed += !ok;
	print("%sok %d - %s", ok ? "" : "not ", number, title);
}

void good(const char *title)
{
	head(1, title);
	put('\n');
}

/* format tells what was found, with at most one number: %X for the whole of found, %x and %d for its low half. */
void bad(const char *title, const char *format, u64 found, const char *expected)
{
	head(0, title);
	print(" # found ");
	print(format, found);
	print(", expected %s\n", expected);
}

void skip(const char *title, const char *reason)
{
	head(1, title);
	print(" # SKIP %s\n", reason);
}

void point64(const char *title, u64 found, u64 expected)
{
	head(found == expected, title);
	if (found != expected)
		print(" # found %X, expected %X", found, expected);
	put('\n');
}

void point(const char *title, u32 found, u32 expected)
{
	point64(title, found, expected);
}

void end_points(void)
{
	if (number != POINTS)
		print("Bail out! %d points printed, %d planned: tap.c is wrong\n", number, POINTS);
	print("# failed: %d\n# done\n", failed);
}
