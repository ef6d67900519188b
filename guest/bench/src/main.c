/*
 * The bench guest: it finds virtio devices, drives them by polling at CPL 3 as the command line orders, and prints
 * what it measured, one line of key=value words for each order, on COM1. The orders:
 *
 *	tsc_khz=N				the time stamp counter's frequency; else CPUID's
 *	mmio=ADDR mmio=ADDR,STRIDE,COUNT	look for devices there
 *	virtio_mmio.device=SIZE@ADDR:IRQ	the same, as monitors tell Linux
 *	pci pci=ECAM				look on PCI bus 0, by ports or in the window at ECAM
 *	say=WORD				print WORD
 *	blk=read|write,rand|seq,SIZE,DEPTH,MS[,N]	on the Nth disk
 *	blksum=SIZE				read so much from the start and print the sum of its 8-byte words
 *	nettx=SIZE,MS netrx=MS netping=SIZE,DEPTH,MS
 *	vsock=tx|rx|ping,PORT,SIZE,MS
 *	rng=SIZE,MS
 */
#include "bench.h"

u64 tsc_khz;

u64 ns(u64 ticks) { return ticks / tsc_khz * 1000000 + ticks % tsc_khz * 1000000 / tsc_khz; }

static void mmio(const char *s)
{
	u64 addr = number(&s), stride = number(&s), count = number(&s), i;

	for (i = 0; i < (count ? count : 1); i++)
		probe_mmio(addr + i * stride);
}

static void linux_mmio(const char *s)
{
	number(&s);
	if (*s++ == '@')
		probe_mmio(number(&s));
}

static void run(struct arg *a)
{
	static const struct { const char *name; void (*run)(const char *); } orders[] = {
		{"blk", run_blk}, {"blksum", run_blksum}, {"nettx", run_nettx}, {"netrx", run_netrx}, {"netping", run_netping},
		{"vsock", run_vsock}, {"rng", run_rng},
	};
	const char *s = a->value;
	u32 i;

	for (i = 0; i < sizeof orders / sizeof *orders; i++)
		if (is(a, orders[i].name))
			orders[i].run(a->value);
	if (is(a, "say")) {
		char text[2] = "";

		for (print("say="); *s && *s != ' '; s++) {
			text[0] = *s;
			print("%s", text);
		}
		print("\n");
	}
}

void main(void)
{
	const char *line = (const char *)start_info->cmdline, *at, *s;
	struct arg a;
	u32 i;

	if (cpuid_15[0] && cpuid_15[1] && cpuid_15[2])
		tsc_khz = (u64)cpuid_15[2] * cpuid_15[1] / cpuid_15[0] / 1000;
	if (cpuid_tsc_khz)
		tsc_khz = cpuid_tsc_khz;
	/* First all that is to be found, wherever it stands: monitors add words behind those of the user. */
	for (at = line; next_arg(&at, &a); ) {
		s = a.value;
		if (is(&a, "tsc_khz"))
			tsc_khz = number(&s);
		else if (is(&a, "mmio"))
			mmio(s);
		else if (is(&a, "virtio_mmio.device"))
			linux_mmio(s);
		else if (is(&a, "pci"))
			probe_pci(number(&s));
	}
	if (!tsc_khz) {
		print("error=frequency\n");
		end();
	}
	print("tsc_khz=%d devices=", tsc_khz);
	for (i = 0; i < device_count; i++)
		print("%s%d", i ? "," : "", (u64)devices[i].kind);
	print("\n");
	for (at = line; next_arg(&at, &a); )
		run(&a);
	end();
}
