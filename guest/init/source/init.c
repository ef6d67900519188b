/*
 * The smallest init: for measuring when a guest reaches user space, without
 * the start-up of a C library or of Go in the way. It writes one line, "init",
 * to its standard output (the console), waits until the serial port has sent
 * it, and does what its arguments say (the words behind "--" on the kernel's
 * command line, in this order):
 *
 *   mark     before the line: write 'I' to the port of time marks, 0x604
 *   stay     sleep for ever
 *   reboot   restart the machine
 *
 * With none of the last two it powers off. Build: see guest/init/init.go.
 */

#define SYS_write  1
#define SYS_ioctl  16
#define SYS_pause  34
#define SYS_reboot 169
#define SYS_iopl   172

#define TCSBRK 0x5409 /* with 1: wait until all output is sent (tcdrain) */

#define MAGIC1    0xfee1dead /* linux/reboot.h */
#define MAGIC2    672274793
#define RESTART   0x01234567
#define POWER_OFF 0x4321fedc

static long sys(long n, long a, long b, long c)
{
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

__attribute__((used, noreturn)) static void start(long *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1);
	int stay = 0, command = POWER_OFF;

	for (long i = 1; i < argc; i++) {
		if (same(argv[i], "stay"))
			stay = 1;
		else if (same(argv[i], "reboot"))
			command = RESTART;
		else if (same(argv[i], "mark") && sys(SYS_iopl, 3, 0, 0) == 0)
			__asm__ volatile("outb %b0, %w1" : : "a"('I'), "d"(0x604));
	}
	sys(SYS_write, 1, (long)"init\n", 5);
	sys(SYS_ioctl, 1, TCSBRK, 1);
	while (stay)
		sys(SYS_pause, 0, 0, 0);
	sys(SYS_reboot, (int)MAGIC1, MAGIC2, command);
	for (;;)
		sys(SYS_pause, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n\thlt\n");
