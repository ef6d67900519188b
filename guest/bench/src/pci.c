/* The PCI transport, virtio 1.3 section 4.1: bus 0, by the ports 0xCF8 and 0xCFC or in ECAM's window. */
#include "bench.h"

#define CAP_VENDOR	0x09
enum { COMMON = 1, NOTIFY, ISR, DEVICE };

static u64 ecam;
static u64 window = 0xc8000000;		/* where BARs go that nobody has placed; in every monitor's hole */

static u32 config_read(u32 device, u32 reg)
{
	if (ecam)
		return read32(ecam + (device << 15) + (reg & ~3u));
	outl(0xcf8, 0x80000000 | device << 11 | (reg & 0xfc));
	return inl(0xcfc);
}

static void config_write(u32 device, u32 reg, u32 v)
{
	if (ecam) {
		write32(ecam + (device << 15) + reg, v);
		return;
	}
	outl(0xcf8, 0x80000000 | device << 11 | reg);
	outl(0xcfc, v);
}

static u8 config_byte(u32 device, u32 reg) { return config_read(device, reg) >> (reg & 3) * 8; }

/* The address behind a BAR; one without gets one. */
static u64 bar(u32 device, u32 n)
{
	u32 reg = 0x10 + 4 * n, low = config_read(device, reg), size;
	u64 addr = low & ~15u;

	if (low & 1)
		return 0;
	if ((low & 6) == 4)
		addr |= (u64)config_read(device, reg + 4) << 32;
	if (addr)
		return addr;
	config_write(device, reg, ~0u);
	size = ~(config_read(device, reg) & ~15u) + 1;
	window = (window + size - 1) & ~(u64)(size - 1);
	config_write(device, reg, window);
	if ((low & 6) == 4)
		config_write(device, reg + 4, 0);
	addr = window;
	window += size;
	return addr;
}

static void probe(u32 device)
{
	struct device d = { .pci = 1 };
	u32 id = config_read(device, 0), cap;

	if ((id & 0xffff) != 0x1af4)
		return;
	id >>= 16;
	d.kind = id >= 0x1040 ? id - 0x1040 : config_read(device, 0x2c) >> 16;
	for (cap = config_byte(device, 0x34); cap; cap = config_byte(device, cap + 1)) {
		u64 addr;

		if (config_byte(device, cap) != CAP_VENDOR || config_byte(device, cap + 3) > DEVICE)
			continue;
		addr = bar(device, config_byte(device, cap + 4)) + config_read(device, cap + 8);
		map(addr, config_read(device, cap + 12));
		switch (config_byte(device, cap + 3)) {
		case COMMON:
			d.regs = addr;
			break;
		case NOTIFY:
			d.notify = addr;
			d.notify_multiplier = config_read(device, cap + 16);
			break;
		case DEVICE:
			d.config = addr;
		}
	}
	if (!d.regs || !d.notify)
		return;
	config_write(device, 4, (config_read(device, 4) & 0xffff) | 6);	/* memory, bus master */
	found(&d);
}

void probe_pci(u64 at)
{
	u32 device;

	if ((ecam = at)) {
		map(ecam, 1 << 20);
	} else {
		outl(0xcf8, 0x80000000);
		if (inl(0xcf8) != 0x80000000)
			return;
	}
	for (device = 0; device < 32; device++)
		probe(device);
}
