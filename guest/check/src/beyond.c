/* What kernels with a PVH entry rely on although the ABI does not promise it: they came from monitors and firmware that have it. */
#include "check.h"

#define BIOS		0xf0000
#define BIOS_FREE	0xfc000		/* the last 16 KiB below 1 MiB: four page tables */
#define BIOS_END	0x100000
#define STEP		64		/* bytes between two places that are tried */
#define STACK		0x400
#define PINS		24		/* of a PC's I/O APIC */

/* Kernels call before they have set their own stack pointer. */
static void check_stack(void)
{
	const char *title = "esp is the top of 1 KiB of free RAM below 640 KiB";
	const char *expected = "a multiple of 4 with 1 KiB of RAM below it that nothing lies in";
	u32 low = found_esp - STACK;

	if (found_esp % 4 || found_esp < 0x500 + STACK || found_esp > 0xa0000 || !start_info)
		bad(title, "%X", found_esp, expected);
	else if (!is_free(low, STACK))
		bad(title, "%X, where something lies", found_esp, expected);
	else {
		store(found_esp - 4, 0x5741434b);
		store(low, 0x4b434157);
		point(title, load(found_esp - 4) == 0x5741434b && load(low) == 0x4b434157, 1);
	}
}

/* Kernels take page tables from here, whatever the memory map says. The monitor's tables in front get their values back. */
static void check_bios_area(void)
{
	static u32 old[(BIOS_END - BIOS) / STEP];
	u32 addr, wrong = 0, used = 0;

	for (addr = BIOS_FREE; addr < BIOS_END && !used; addr += 4)
		if (load(addr))
			used = addr;
	for (addr = BIOS; addr < BIOS_END; addr += STEP) {
		old[(addr - BIOS) / STEP] = load(addr);
		store(addr, addr ^ 0x5a5a5a5a);
	}
	for (addr = BIOS; addr < BIOS_END && !wrong; addr += STEP)
		if (load(addr) != (addr ^ 0x5a5a5a5a))
			wrong = addr;
	for (addr = BIOS; addr < BIOS_END; addr += STEP)
		store(addr, old[(addr - BIOS) / STEP]);

	if (wrong)
		bad("0xf0000 to 0xfffff can be written", "another value at %X", wrong, "the value written");
	else
		good("0xf0000 to 0xfffff can be written");
	if (used)
		bad("nothing lies in 0xfc000 to 0xfffff", "something at %X", used, "zeros");
	else
		good("nothing lies in 0xfc000 to 0xfffff");
}

/* Kernels that ignore the MADT's GSI base, and those that route pins 0 to 23 without asking. */
static void check_pins(void)
{
	u32 last, i, lost = 0;

	point("the I/O APIC's first pin is GSI 0", ioapic_gsi, 0);
	store(ioapic_addr, 1);
	last = load(ioapic_addr + 0x10) >> 16 & 0xff;
	for (i = 0; i < PINS && !lost; i++) {
		u32 before;

		store(ioapic_addr, 0x10 + 2 * i);
		before = load(ioapic_addr + 0x10);
		store(ioapic_addr + 0x10, 1 << 16 | VECTOR_SPURIOUS);
		if ((load(ioapic_addr + 0x10) & 0x100ff) != (1 << 16 | VECTOR_SPURIOUS))
			lost = i + 1;
		store(ioapic_addr + 0x10, before);
	}
	if (last + 1 < PINS)
		bad("the I/O APIC has 24 pins", "%d", last + 1, "at least 24");
	else if (lost)
		bad("the I/O APIC has 24 pins", "pin %d keeps nothing", lost - 1, "an entry for each");
	else
		good("the I/O APIC has 24 pins");
}

void check_beyond(void)
{
	check_stack();
	check_bios_area();
	check_pins();
}
