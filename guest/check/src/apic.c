/* The local APIC: secondary processors and the timer. Intel SDM volume 3, chapter 11. */
#include "check.h"

#define APIC_BASE	0x1b		/* MSR: 8 boot processor, 10 x2APIC, 11 enabled */
#define TSC_DEADLINE	0x6e0		/* MSR */
#define REG_ID		0x20
#define REG_EOI		0xb0
#define REG_SPURIOUS	0xf0
#define REG_ICR		0x300
#define REG_ICR_HIGH	0x310
#define REG_TIMER	0x320
#define REG_LINT0	0x350
#define REG_COUNT	0x380
#define REG_DIVIDE	0x3e0
#define MASKED		(1 << 16)
#define INIT		0x4500		/* assert */
#define SIPI		0x4600

#define PATIENCE	(1ull << 32)	/* TSC ticks that something may take: one to four seconds */

volatile u32 ap_next, ap_count, ap_ids[MAX_CPUS];

static int x2apic;
static u32 apic_window = 0xfee00000;
static volatile u32 ticks;

u32 apic_read(u32 reg)
{
	u64 v = 0;

	if (!x2apic)
		return load(apic_window + reg);
	rdmsr(0x800 + (reg >> 4), &v);
	return v;
}

void apic_write(u32 reg, u32 v)
{
	if (x2apic)
		wrmsr(0x800 + (reg >> 4), v);
	else
		store(apic_window + reg, v);
}

void apic_send(u32 id, u32 command)
{
	if (x2apic) {
		wrmsr(0x800 + (REG_ICR >> 4), (u64)id << 32 | command);
		return;
	}
	apic_write(REG_ICR_HIGH, id << 24);
	apic_write(REG_ICR, command);
}

static u32 apic_id(void)
{
	return x2apic ? apic_read(REG_ID) : apic_read(REG_ID) >> 24;
}

static int listed(u32 id)
{
	u32 i;

	for (i = 0; i < cpu_count && i < MAX_CPUS; i++)
		if (cpu_ids[i] == id)
			return 1;
	return 0;
}

/* x2APIC is used when the monitor left it on, and switched on when a processor's id or the command line asks for it. */
void apic_open(void)
{
	const char *title = "the local APIC is on and its id is in the MADT";
	int offered = cpuid(1).c >> 21 & 1, need;
	u64 base = 0;
	u32 i;

	if (rdmsr(APIC_BASE, &base)) {
		x2apic = base >> 10 & 1;
		apic_window = (u32)base & 0xfffff000;
		need = arg("x2apic") != 0;
		for (i = 0; i < cpu_count && i < MAX_CPUS; i++)
			need |= cpu_ids[i] >= 0xff;
		if (offered && !x2apic && need)
			x2apic = wrmsr(APIC_BASE, base | 0xc00);
	}
	print("# apic: %s, x2apic %s\n", x2apic ? "x2apic" : "xapic", offered ? "offered" : "not offered");
	if (!(base & 1 << 11))
		bad(title, "IA32_APIC_BASE %X", base, "bit 11 set");
	else if (!listed(apic_id()))
		bad(title, "id %d", apic_id(), "one of the MADT");
	else
		good(title);

	/* A PIC, where there is one, must not send its timer through LINT0 into our vectors. */
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	apic_write(REG_LINT0, MASKED);
	apic_write(REG_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
}

static void wait_for(volatile u32 *count, u32 want, u64 patience)
{
	u64 start = rdtsc();

	while (*count < want && rdtsc() - start < patience)
		pause();
}

static void start_others(u32 command)
{
	u32 i, self = apic_id();

	for (i = 0; i < cpu_count && i < MAX_CPUS; i++)
		if (cpu_ids[i] != self)
			apic_send(cpu_ids[i], command);
}

void check_smp(void)
{
	const char *title = "secondary processors start by INIT and SIPI";
	const char *ids = "each secondary processor has an id of its own, from the MADT";
	u32 i, j, page, wrong = 0, want = cpu_count - 1;

	if (cpu_count < 2) {
		skip(title, "one processor");
		skip(ids, "one processor");
		return;
	}
	page = start_info ? free_page() : 0;
	if (!page) {
		bad(title, "no free page below 1 MiB", 0, "RAM for their first instructions");
		skip(ids, "they didn't start");
		return;
	}
	for (i = 0; i < (u32)(trampoline_end - trampoline); i++)
		((volatile u8 *)page)[i] = trampoline[i];

	start_others(INIT);
	start_others(SIPI | page >> 12);
	wait_for(&ap_count, want, PATIENCE / 4);
	if (ap_count < want) {
		/* The second one that Intel's manual asks for; who runs already ignores it. */
		start_others(SIPI | page >> 12);
		wait_for(&ap_count, want, PATIENCE);
	}
	point(title, ap_count, want);

	for (i = 0; i < ap_count && i < MAX_CPUS; i++) {
		int twice = ap_ids[i] == apic_id();

		for (j = 0; j < i; j++)
			twice |= ap_ids[j] == ap_ids[i];
		wrong += twice || !listed(ap_ids[i]);
	}
	if (ap_count)
		point(ids, wrong, 0);
	else
		skip(ids, "they didn't start");
}

void on_timer(void)
{
	ticks++;
	apic_write(REG_EOI, 0);
}

static void arm(int deadline, u32 ticks_from_now)
{
	if (deadline) {
		apic_write(REG_TIMER, 2 << 17 | VECTOR_TIMER);
		wrmsr(TSC_DEADLINE, rdtsc() + ticks_from_now);
	} else {
		apic_write(REG_DIVIDE, 0xb);		/* by 1 */
		apic_write(REG_TIMER, VECTOR_TIMER);
		apic_write(REG_COUNT, ticks_from_now);
	}
}

void check_timer(void)
{
	int deadline = cpuid(1).c >> 24 & 1;

	print("# timer: %s\n", deadline ? "tsc-deadline" : "one-shot");
	arm(deadline, 100000);
	asm volatile("sti");
	wait_for(&ticks, 1, PATIENCE);
	asm volatile("cli");
	if (ticks == 0) {
		apic_write(REG_TIMER, MASKED);
		bad("a local APIC timer interrupt arrives", "none", 0, "one");
		skip("the timer wakes a halted processor", "no timer");
		return;
	}
	point("a local APIC timer interrupt arrives", ticks, 1);
	flush();
	/*
	 * Some milliseconds, so that it sleeps by then. QEMU's SVM forgets at VMRUN that sti holds interrupts back for one
	 * instruction more; one that comes just there is taken before the hlt, which then waits for ever.
	 */
	arm(deadline, 10000000);
	while (ticks < 2)
		asm volatile("sti; hlt; cli" : : : "memory");
	point("the timer wakes a halted processor", ticks, 2);
	apic_write(REG_TIMER, MASKED);
}
