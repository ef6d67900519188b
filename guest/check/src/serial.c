/* COM1 by interrupt, and two loads for tests of a monitor's serial port. 16550A; I/O APIC: Intel 82093AA. */
#include "check.h"

static volatile u32 interrupts, identification;

/* What echo() received and not yet sent. A power of two. */
static u8 ring[4096];
static volatile u32 head, tail;

static void ioapic_write(u32 reg, u32 v)
{
	store(ioapic_addr, reg);
	store(ioapic_addr + 0x10, v);
}

/* Routes COM1's pin to this processor, or masks it. */
static void route(int on)
{
	u32 reg = 0x10 + 2 * (com1_gsi - ioapic_gsi);
	u32 low = (com1_flags & 3) == 3 ? 1 << 13 : 0;		/* active low */

	if ((com1_flags >> 2 & 3) == 3)
		low |= 1 << 15;					/* level */
	ioapic_write(reg + 1, cpuid(1).b & 0xff000000);
	ioapic_write(reg, low | (on ? 0 : 1 << 16) | VECTOR_SERIAL);
}

void on_serial(void)
{
	u8 id;

	interrupts++;
	while (!((id = inb(COM1 + 2)) & 1)) {
		identification = id & 0xf;
		while (inb(COM1 + 5) & 1) {
			if (head - tail == sizeof ring) {
				outb(COM1 + 1, 0);		/* until echo() has made room */
				break;
			}
			ring[head++ % sizeof ring] = inb(COM1);
		}
		if (head - tail == sizeof ring)
			break;
	}
	apic_write(0xb0, 0);
}

/* Waits until the transmitter's interrupt came, with identification 2; the byte before must be gone by then. */
static void expect_interrupt(const char *title)
{
	u64 start = rdtsc();

	asm volatile("sti");
	while (!interrupts && rdtsc() - start < 1ull << 31)
		pause();
	asm volatile("cli");
	outb(COM1 + 1, 0);
	if (!interrupts)
		bad(title, "no interrupt", 0, "one");
	else
		point(title, identification, 2);
	interrupts = 0;
}

static void wait_idle(void)
{
	u32 tries;

	for (tries = 0; !(inb(COM1 + 5) & 0x40) && tries < 1000000; tries++)
		pause();
}

void check_serial(void)
{
	print("# serial: gsi %d\n", com1_gsi);
	route(1);
	wait_idle();
	outb(COM1 + 1, 2);
	outb(COM1, '\n');
	expect_interrupt("COM1 interrupts through the I/O APIC when a byte is sent");

	/* Real ones do, and Linux's driver then does without a workaround (UART_BUG_TXEN). */
	wait_idle();
	outb(COM1 + 1, 2);
	expect_interrupt("COM1 interrupts when that is enabled while nothing is left to send");
	route(0);
}

/* count bytes: the byte at offset i is one of line i/8, which is its number in seven hexadecimal digits and a newline. */
void spew(u32 count)
{
	u32 i, digit;

	for (i = 0; i < count; i++) {
		digit = i / 8 >> 4 * (6 - i % 8) & 15;
		print("%c", i % 8 == 7 ? '\n' : "0123456789abcdef"[digit]);
	}
	flush();
}

void echo(void)
{
	u32 count = 0;
	u8 c = 0;

	print("# echo until Ctrl-D\n");
	route(1);
	outb(COM1 + 1, 1);
	while (c != 4) {
		asm volatile("cli");
		if (head == tail) {
			flush();
			outb(COM1 + 1, 1);
			asm volatile("sti; hlt" : : : "memory");
			continue;
		}
		asm volatile("sti");
		c = ring[tail % sizeof ring];
		tail++;
		if (c != 4) {
			print("%c", c);
			count++;
		}
	}
	asm volatile("cli");
	outb(COM1 + 1, 0);
	route(0);
	print("\n# echoed: %d\n", count);
}
