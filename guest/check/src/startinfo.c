/* Start info, memory map and modules: Xen's arch-x86/hvm/start_info.h. */
#include "check.h"

const struct start_info *start_info;

static const struct map_entry *map;
static u32 entries;

void start_info_open(void)
{
	if (found_ebx == 0 || found_ebx > 0xffffffff - sizeof *start_info || load(found_ebx) != START_MAGIC)
		return;
	start_info = (const struct start_info *)found_ebx;
	if (start_info->version < 1 || start_info->memmap == 0 || start_info->memmap >> 32 || start_info->memmap_entries > 4096)
		return;
	map = (const struct map_entry *)(u32)start_info->memmap;
	entries = start_info->memmap_entries;
}

int in_type(u64 addr, u64 size, u32 type)
{
	u64 end = addr + size, at = addr;
	u32 i;

again:
	if (at >= end)
		return end >= addr;
	for (i = 0; i < entries; i++) {
		if (map[i].type == type && map[i].addr <= at && at - map[i].addr < map[i].size) {
			at = map[i].addr + map[i].size;
			goto again;
		}
	}
	return 0;
}

static int overlap(u64 a, u64 asize, u64 b, u64 bsize)
{
	return a < b + bsize && b < a + asize;
}

int is_free(u32 addr, u32 size)
{
	const struct start_info *s = start_info;
	const struct module *m = (const struct module *)(u32)s->modlist;
	u32 i;

	if (!in_type(addr, size, RAM) || overlap(addr, size, (u32)s, sizeof *s)
	    || overlap(addr, size, s->modlist, s->nr_modules * sizeof *m)
	    || overlap(addr, size, s->memmap, entries * sizeof *map)
	    || overlap(addr, size, s->cmdline, 0x10000)
	    || overlap(addr, size, (u32)image, image_end - image))
		return 0;
	for (i = 0; i < s->nr_modules; i++)
		if (overlap(addr, size, m[i].addr, m[i].size))
			return 0;
	return 1;
}

u32 free_page(void)
{
	u32 page;

	for (page = 0x1000; page < 0x9f000; page += 0x1000)
		if (is_free(page, 0x1000))
			return page;
	return 0;
}

void check_start_info(void)
{
	const struct start_info *s = (const struct start_info *)found_ebx;
	u32 old;

	point("start info: magic", s->magic, START_MAGIC);
	point("start info: version", s->version, 1);
	point("start info: flags are 0", s->flags, 0);
	point("start info: the reserved field is 0", s->reserved, 0);
	old = s->magic;
	store(found_ebx, ~old);
	point("start info lies in memory that can be written", load(found_ebx), ~old);
	store(found_ebx, old);
}

/*
 * Every edge gets its own value before the first is read back: memory that isn't there shows, and so do two ranges
 * with the same memory behind them. Old values come back in the opposite order. Ranges above 4 GiB are out of reach.
 */
static void check_edges(void)
{
	static u32 addr[2 * MAP_MAX], old[2 * MAP_MAX];
	const char *title = "RAM below 4 GiB holds what is written at its edges";
	u32 i, n = 0, wrong = 0;

	for (i = 0; i < entries && i < MAP_MAX; i++) {
		u64 first = (map[i].addr + 3) & ~3ull, last = (map[i].addr + map[i].size - 4) & ~3ull;

		if (map[i].type != RAM || map[i].size < 8)
			continue;
		if (!(first >> 32))
			addr[n++] = first;
		if (!(last >> 32))
			addr[n++] = last;
	}
	for (i = 0; i < n; i++) {
		old[i] = load(addr[i]);
		store(addr[i], addr[i] ^ 0x5a5a5a5a);
	}
	for (i = 0; i < n && !wrong; i++)
		if (load(addr[i]) != (addr[i] ^ 0x5a5a5a5a))
			wrong = addr[i];
	for (i = n; i--;)
		store(addr[i], old[i]);

	if (n == 0)
		bad(title, "no RAM below 4 GiB", 0, "some");
	else if (wrong)
		bad(title, "another value at %X", wrong, "the value written");
	else
		good(title);
}

/* memory=SIZE. What lies in low reserved ranges and tables isn't RAM to the guest: up to 2 MiB may be missing. */
static void check_amount(u64 ram)
{
	const char *title = "RAM is as much as the monitor was asked for";
	u64 want = arg_number("memory", 0);

	print("# ram: %X\n", ram);
	if (!want)
		skip(title, "no memory= on the command line");
	else if (ram > want || want - ram > 0x200000)
		point64(title, ram, want);
	else
		good(title);
}

static int lists_in_ram(void)
{
	const struct start_info *s = start_info;

	return in_type((u32)s, sizeof *s, RAM)
		&& in_type(s->memmap, entries * sizeof *map, RAM)
		&& (!s->nr_modules || in_type(s->modlist, s->nr_modules * sizeof(struct module), RAM))
		&& (!s->cmdline || in_type(s->cmdline, 1, RAM));
}

void check_map(void)
{
	u32 i, unsorted = 0, odd = 0;
	u64 ram = 0, end = 0;

	if (entries >= 1 && entries <= MAP_MAX)
		good("memory map: 1 to 126 entries");
	else
		bad("memory map: 1 to 126 entries", "%d", entries, "a map below 4 GiB that Linux's table holds");

	for (i = 0; i < entries; i++) {
		const struct map_entry *e = &map[i];

		print("# map: %X %X %d\n", e->addr, e->size, e->type);
		if (i && e->addr < end && !unsorted)
			unsorted = i;
		end = e->addr + e->size;
		if ((e->size == 0 || (end && end < e->addr) || e->type < RAM || e->type > PMEM || e->reserved) && !odd)
			odd = i + 1;
		if (e->type == RAM)
			ram += e->size;
	}
	if (unsorted)
		bad("memory map: sorted, no two entries overlap", "entry %d below the end of the one before", unsorted, "rising addresses");
	else
		good("memory map: sorted, no two entries overlap");
	if (odd)
		bad("memory map: sizes, types and reserved fields are sound", "entry %d", odd - 1, "size > 0, no wrap, type 1 to 7, reserved 0");
	else
		good("memory map: sizes, types and reserved fields are sound");
	check_edges();
	check_amount(ram);

	point("this image lies in RAM", in_type((u32)image, image_end - image, RAM), 1);
	point("start info, its lists and the command line lie in RAM", start_info && lists_in_ram(), 1);
	point("the APICs' windows are not RAM", in_type(0xfec00000, 4, RAM) | in_type(0xfee00000, 4, RAM), 0);
}

static const char *module_fault(const struct module *m)
{
	if (m->size == 0)
		return "module %d without size";
	if (!in_type(m->addr, m->size, RAM))
		return "module %d not in RAM";
	if (overlap(m->addr, m->size, (u32)image, image_end - image))
		return "module %d over this image";
	return 0;
}

void check_modules(void)
{
	const struct module *m = 0;
	const char *fault = 0;
	u32 i, n = 0;

	if (start_info) {
		n = start_info->nr_modules;
		m = (const struct module *)(u32)start_info->modlist;
	}
	if (n > 4096 || (m != 0) != (n != 0) || (start_info && start_info->modlist >> 32)) {
		bad("module list: there when there are modules, and only then", n ? "%d modules, no readable list" : "a list without modules", n, "both or none, below 4 GiB");
		n = 0;
	} else
		good("module list: there when there are modules, and only then");

	for (i = 0; i < n && !fault; i++) {
		/* The last field has no rule in the header; QEMU 7.2 leaves what was on its stack. */
		print("# module: %X %X, command line %X, reserved %X\n", m[i].addr, m[i].size, m[i].cmdline, m[i].reserved);
		fault = module_fault(&m[i]);
	}
	if (fault)
		bad("modules have a size, lie in RAM and beside this image", fault, i - 1, "whole modules");
	else if (n)
		good("modules have a size, lie in RAM and beside this image");
	else
		skip("modules have a size, lie in RAM and beside this image", "no modules");

	if (arg("modules"))
		point("as many modules as the monitor was given", n, arg_number("modules", 0));
	else
		skip("as many modules as the monitor was given", "no modules= on the command line");

	if (!arg("module-sum"))
		skip("module 0 has the content that the monitor was given", "no module-sum= on the command line");
	else if (n == 0 || m->addr >> 32 || m->size >> 32)
		bad("module 0 has the content that the monitor was given", "%d modules", n, "one below 4 GiB");
	else
		point("module 0 has the content that the monitor was given", sum((const u8 *)(u32)m->addr, m->size), arg_number("module-sum", 0));
}
