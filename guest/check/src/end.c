/* How the guest ends: end=NAME on the command line. */
#include "check.h"

/* Mayfly's own port (internal/device/power): bit 0 says that the power button was pressed. */
#define BUTTON	0x603

/* Leaves the monitor time: some end the machine a while after the write. */
static void wait(void)
{
	u64 start = rdtsc();

	while (rdtsc() - start < 1ull << 31)
		pause();
}

static int write_register(const struct gas *r, u8 v)
{
	if (!r->addr || r->addr >> 32)
		return 0;
	if (r->space == 1)
		outb(r->addr, v);
	else if (r->space == 0)
		*(volatile u8 *)(u32)r->addr = v;
	else
		return 0;
	wait();
	return 1;
}

_Noreturn static void triple_fault(void)
{
	static const struct { u16 limit; u32 base; } __attribute__((packed)) none;

	asm volatile("lidt %0; ud2" : : "m"(none));
	__builtin_unreachable();
}

static void reboot(void)
{
	if (write_register(&reset_register, reset_value))
		print("# the reset register had no effect\n");
	outb(0x64, 0xfe);
	wait();
	print("# the keyboard controller's reset had no effect\n");
}

static void poweroff(void)
{
	if (write_register(&sleep_control, sleep_type << 2 | 0x20))
		print("# the sleep control register had no effect\n");
	else
		print("# no sleep control register\n");
	reboot();
	outb(0x501, 0);			/* QEMU's isa-debug-exit */
	outb(0xf4, 0);
	wait();
	print("# nothing ends this machine: halted\n");
}

/* Overwrites low memory, where the monitor's tables were: an in-place reset has to lay them again. */
static void scribble(void)
{
	u32 addr = 0x500, words;

	for (words = 0; in_type(addr + 4 * words, 4, RAM) && addr + 4 * words < 0x9fc00; words += 64)
		;
	print("# scribble: %x words at %x\n", words, addr);
	asm volatile("rep stosl" : "+D"(addr), "+c"(words) : "a"(0xa5a5a5a5) : "memory");
}

static char ask(void)
{
	print("# end? p poweroff, r reboot, h halt, t triple fault, u undefined opcodes, x xgetbv\n");
	while (!(inb(COM1 + 5) & 1))
		pause();
	return inb(COM1);
}

_Noreturn void end(void)
{
	static const struct { const char *name; char key; } ends[] = {
		{"reboot", 'r'}, {"halt", 'h'}, {"triplefault", 't'}, {"ud-loop", 'u'}, {"xgetbv", 'x'}, {"button", 'b'}, {"ask", 'a'},
	};
	char key = 'p';
	u32 i;

	for (i = 0; i < sizeof ends / sizeof *ends; i++)
		if (arg_is("end", ends[i].name))
			key = ends[i].key;
	if (arg("scribble"))
		scribble();
	if (key == 'a')
		key = ask();
	flush();
	switch (key) {
	case 'r':
		reboot();
		break;
	case 'h':
		stop();
	case 't':
		triple_fault();
	case 'u':
		undefined_loop = 1;
		for (;;)
			asm volatile("ud2");
	case 'x':
		/* A monitor on an emulating KVM gets KVM_EXIT_INTERNAL_ERROR here; elsewhere it is an undefined opcode. */
		asm volatile("xgetbv" : : "c"(0) : "eax", "edx");
		print("# xgetbv had no effect\n");
		stop();
	case 'b':
		while (!(inb(BUTTON) & 1))
			pause();
		print("# power button\n");
		/* fall through */
	default:
		poweroff();
	}
	flush();
	stop();
}
