/* The check guest: one line of TAP on COM1 for each point of the PVH hand-over. */
#include "check.h"

/* Mayfly's own port (internal/device/power): a byte written is a mark in the monitor's time line. */
#define MARK 0x604

static void check_points(void)
{
	check_state();
	check_start_info();
	check_map();
	check_modules();
	check_cmdline();
	check_acpi();
	check_processor();
	apic_open();
	check_smp();
	check_timer();
	check_serial();
	check_beyond();
	check_task();		/* last: the machine may not survive it */
	end_points();
}

void check(void)
{
	start_info_open();
	cmdline_open();
	if (arg("mark"))
		outb(MARK, arg_number("mark", 0));
	serial_open();
	if (!arg("nocheck"))
		check_points();
	else {
		/* The loads below and the end need what these find; their lines are not printed. */
		silence(1);
		check_acpi();
		apic_open();
		silence(0);
	}
	if (arg("spew"))
		spew(arg_number("spew", 0));
	if (arg("echo"))
		echo();
	end();
}

/* gcc may call these for structures and arrays. */
void *memcpy(void *to, const void *from, u32 n)
{
	void *p = to;

	asm volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory");
	return to;
}

void *memset(void *to, int c, u32 n)
{
	void *p = to;

	asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
	return to;
}
