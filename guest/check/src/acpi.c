/* ACPI tables, and what the other checks and the end learn from them. Offsets: ACPI 6.5, chapter 5.2. */
#include "check.h"

#define SIGN(a, b, c, d) ((u32)(d) << 24 | (c) << 16 | (b) << 8 | (a))
#define TABLE_MAX 0x100000

u32 cpu_ids[MAX_CPUS], cpu_count, ioapic_addr = 0xfec00000, ioapic_gsi, com1_gsi = 4, com1_flags;
struct gas sleep_control, reset_register;
u8 reset_value, sleep_type = 5;

static u32 u32_at(const u8 *p) { return *(const u32 *)p; }
static u64 u64_at(const u8 *p) { return *(const u64 *)p; }

static u8 bytes(const u8 *p, u32 n)
{
	u8 v = 0;

	while (n--)
		v += *p++;
	return v;
}

/* Prints the point of one table. A bad table is not used, so that later points fail for it too. */
static int check_table(const char *title, const u8 *t, u32 sign)
{
	if (!t)
		bad(title, "no table", 0, "one below 4 GiB");
	else if (u32_at(t) != sign)
		bad(title, "signature %x", u32_at(t), "the table's own");
	else if (u32_at(t + 4) < 36 || u32_at(t + 4) > TABLE_MAX)
		bad(title, "length %x", u32_at(t + 4), "36 to 1 MiB");
	else if (bytes(t, u32_at(t + 4)))
		bad(title, "the sum %x", bytes(t, u32_at(t + 4)), "0");
	else {
		good(title);
		return 1;
	}
	return 0;
}

static int is_rsdp(u32 p)
{
	return load(p) == SIGN('R', 'S', 'D', ' ') && load(p + 4) == SIGN('P', 'T', 'R', ' ');
}

static const u8 *find_rsdp(void)
{
	u64 addr = start_info ? start_info->rsdp : 0;
	u32 p;

	if (addr && !(addr >> 32) && is_rsdp(addr)) {
		good("start info names the RSDP");
		return (const u8 *)(u32)addr;
	}
	bad("start info names the RSDP", addr ? "%X, no RSDP there" : "0", addr, "its address");
	for (p = 0xe0000; p < 0x100000; p += 16)
		if (is_rsdp(p))
			return (const u8 *)p;
	for (p = 0x9fc00; p < 0xa0400; p += 16)
		if (is_rsdp(p))
			return (const u8 *)p;
	return 0;
}

static void read_fadt(const u8 *t)
{
	u32 length = u32_at(t + 4), flags = u32_at(t + 112);

	print("# fadt: length %d, revision %d, flags %x, boot architecture %x\n", length, t[8], flags, u32_at(t + 109) & 0xffff);
	if (length >= 129 && flags & 1 << 10) {
		reset_register = *(const struct gas *)(t + 116);
		reset_value = t[128];
	}
	if (length >= 268)
		sleep_control = *(const struct gas *)(t + 244);
}

/* \_S5 = Package { SLP_TYP, … }: the name, PackageOp, PkgLength, the count, then a byte constant or Zero or One. */
static void read_dsdt(const u8 *t)
{
	const u8 *p, *end = t + u32_at(t + 4) - 12;

	for (p = t + 36; p < end; p++) {
		if (u32_at(p) != SIGN('_', 'S', '5', '_') || p[4] != 0x12)
			continue;
		p += 5;
		p += 1 + (*p >> 6) + 1;
		sleep_type = *p == 0x0a ? p[1] : *p;
		return;
	}
}

static void add_cpu(u32 id, u32 flags)
{
	if (!(flags & 1))
		return;
	if (cpu_count < MAX_CPUS)
		cpu_ids[cpu_count] = id;
	cpu_count++;
}

static void read_madt(const u8 *t)
{
	const u8 *p = t + 44, *end = t + u32_at(t + 4);

	for (; p + 2 <= end && p[1] >= 2 && p + p[1] <= end; p += p[1]) {
		switch (p[0] << 8 | p[1]) {
		case 0x0008:			/* local APIC */
			add_cpu(p[3], u32_at(p + 4));
			break;
		case 0x0910:			/* local x2APIC */
			add_cpu(u32_at(p + 4), u32_at(p + 8));
			break;
		case 0x010c:			/* I/O APIC; the last one that has COM1's GSI */
			if (u32_at(p + 8) <= com1_gsi) {
				ioapic_addr = u32_at(p + 4);
				ioapic_gsi = u32_at(p + 8);
			}
			break;
		case 0x020a:			/* interrupt source override of IRQ 4 */
			if (p[3] == 4) {
				com1_gsi = u32_at(p + 4);
				com1_flags = u32_at(p + 6) >> 16;
			}
		}
	}
}

static u32 in_ram;

static const u8 *table_at(u64 addr)
{
	if (addr == 0 || addr >> 32)
		return 0;
	if (in_type(addr, 4, RAM))
		in_ram = addr;
	return (const u8 *)(u32)addr;
}

void check_acpi(void)
{
	const u8 *rsdp = find_rsdp(), *xsdt = 0, *fadt = 0, *madt = 0, *dsdt = 0;
	u32 i, n, wrong = 0;

	if (!rsdp)
		bad("RSDP: revision 2, checksums", "none", 0, "one");
	else if (rsdp[15] < 2)
		bad("RSDP: revision 2, checksums", "revision %d", rsdp[15], "2 or later");
	else
		point("RSDP: revision 2, checksums", bytes(rsdp, 20) | bytes(rsdp, 36) << 8, 0);
	if (rsdp) {
		table_at((u32)rsdp);
		if (rsdp[15] >= 2)
			xsdt = table_at(u64_at(rsdp + 24));
	}

	n = check_table("XSDT: checksum", xsdt, SIGN('X', 'S', 'D', 'T')) ? (u32_at(xsdt + 4) - 36) / 8 : 0;
	for (i = 0; i < n; i++) {
		const u8 *t = table_at(u64_at(xsdt + 36 + 8 * i));

		if (t && u32_at(t) == SIGN('F', 'A', 'C', 'P'))
			fadt = t;
		else if (t && u32_at(t) == SIGN('A', 'P', 'I', 'C'))
			madt = t;
		else if (!t || u32_at(t + 4) < 36 || u32_at(t + 4) > TABLE_MAX || bytes(t, u32_at(t + 4)))
			wrong++;
	}
	if (check_table("FADT: checksum", fadt, SIGN('F', 'A', 'C', 'P')) && u32_at(fadt + 4) >= 116) {
		read_fadt(fadt);
		dsdt = table_at(u32_at(fadt + 4) >= 148 && u64_at(fadt + 140) ? u64_at(fadt + 140) : u32_at(fadt + 40));
	}
	if (check_table("MADT: checksum", madt, SIGN('A', 'P', 'I', 'C')))
		read_madt(madt);
	if (check_table("DSDT: checksum", dsdt, SIGN('D', 'S', 'D', 'T')))
		read_dsdt(dsdt);
	point("XSDT: the other tables' checksums", wrong, 0);
	if (in_ram)
		bad("ACPI tables lie outside RAM that the guest may use", "one at %X", in_ram, "a range of another type, or none");
	else
		good("ACPI tables lie outside RAM that the guest may use");

	print("# cpus: %d\n", cpu_count);
	if (arg("cpus"))
		point("MADT: as many processors as the monitor was asked for", cpu_count, arg_number("cpus", 0));
	else if (cpu_count)
		skip("MADT: as many processors as the monitor was asked for", "no cpus= on the command line");
	else
		bad("MADT: as many processors as the monitor was asked for", "none", 0, "at least one");
}
