/* The processor's state at entry: Xen docs/misc/pvh.pandoc, "x86/HVM direct boot ABI". entry.S wrote it down. */
#include "check.h"

/* In the data, not in the bss: more than one run of the same image means that a reset didn't load it afresh. */
static volatile u32 runs = 0x100;

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
	point("the image is as in the file, not left from an earlier run", runs++, 0x100);
}
