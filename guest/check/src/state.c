/* The processor's state at entry: Xen docs/misc/pvh.pandoc, "x86/HVM direct boot ABI". entry.S wrote it down. */
#include "check.h"

extern u32 runs;		/* header.S */

static u32 segment(u32 shift)
{
	return found_segments >> shift & 15;
}

void check_state(void)
{
	u32 flat = PROBE_BASE | PROBE_LIMIT, data = flat | PROBE_WRITE;
	int in_ram = found_ebx >= 4 && found_ebx <= 0xffffffc0 && found_ebx % 4 == 0;

	if (in_ram)
		good("ebx holds an aligned address");
	else
		bad("ebx holds an aligned address", "%X", found_ebx, "a multiple of 4, not 0");
	point("cr0 has PE and nothing else", found_cr0 & ~0x10, 1);		/* ET may be hardwired */
	point("cr4 is 0", found_cr4, 0);
	point("eflags has VM, IF and TF clear", found_eflags & 0x20300, 0);
	point("cs is flat: base 0, limit 4 GiB", segment(PROBE_CS), flat);
	point("ds is flat and writable", segment(PROBE_DS), data);
	point("es is flat and writable", segment(PROBE_ES), data);
	point("ss is flat and writable", segment(PROBE_SS), data);

	if (!found_dirty)
		good("memory behind the segment's file bytes is zero");
	else
		bad("memory behind the segment's file bytes is zero", "something at %X", found_dirty, "0, also after a reset");
	point("the image is as in the file, not left from an earlier run", runs++, 0);
}

u32 task_probe(void);		/* task.S */
extern u64 task_descriptor;	/* entry.S */

/*
 * Only on request (task on the command line): a bad tr ends in a triple fault, and KVM's emulator, which runs guest
 * kernel code on some hosts, knows no way to CPL 3. task=LIMIT loads tr with a TSS of our own first, to try the check.
 */
void check_task(void)
{
	const char *title = "tr is a 32-bit TSS with base 0 and limit 0x67";
	u32 seen, limit;

	if (!arg("task")) {
		skip(title, "no task on the command line");
		return;
	}
	if (!in_type(0, 0x68, RAM)) {
		skip(title, "no RAM at 0 to try it with");
		return;
	}
	limit = arg_number("task", 0);
	if (limit) {
		task_descriptor = 0x8900ull << 32 | (u64)(limit >> 16 & 15) << 48 | (limit & 0xffff);
		asm volatile("ltr %w0" : : "r"(SEL_TASK) : "memory");
	}
	flush();
	seen = task_probe();
	if (!(seen & TASK_STACK))
		bad(title, "another stack than the TSS at 0 names", 0, "that one");
	else if (!(seen & TASK_INSIDE))
		bad(title, "a smaller limit", 0, "0x67");
	else if (!(seen & TASK_OUTSIDE))
		bad(title, "a larger limit", 0, "0x67");
	else
		good(title);
}
