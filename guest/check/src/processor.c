/* The processor: CPUID, model-specific registers and exceptions. */
#include "check.h"

/* Where an exception in rdmsr or wrmsr goes on; 0 when none is expected. */
static volatile u32 recover;
int undefined_loop;			/* undefined opcodes are to fault for ever */

/* As interrupt in entry.S pushes it. */
struct frame { u32 edi, esi, ebp, esp, ebx, edx, ecx, eax, vector, error, eip, cs, eflags; };

void on_timer(void);

void trap(struct frame *f)
{
	switch (f->vector) {
	case VECTOR_TIMER:
		on_timer();
		return;
	case VECTOR_SERIAL:
		on_serial();
		return;
	case VECTOR_SPURIOUS:
		return;
	}
	if (f->vector == 6 && undefined_loop)
		return;
	if (recover) {
		f->eip = recover;
		recover = 0;
		return;
	}
	flush();
	print("Bail out! exception %d, error code %x, at %x\n", f->vector, f->error, f->eip);
	stop();
}

_Noreturn void stop(void)
{
	for (;;)
		asm volatile("cli; hlt");
}

struct cpuid cpuid(u32 leaf)
{
	struct cpuid r;

	asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(0));
	return r;
}

int rdmsr(u32 msr, u64 *v)
{
	int ok = 0;

	asm volatile("movl $1f, %1; rdmsr; movl $1, %2; 1: movl $0, %1"
		: "=&A"(*v), "=m"(recover), "+m"(ok) : "c"(msr) : "memory");
	return ok;
}

int wrmsr(u32 msr, u64 v)
{
	int ok = 0;

	asm volatile("movl $1f, %0; wrmsr; movl $1, %1; 1: movl $0, %0"
		: "=m"(recover), "+m"(ok) : "A"(v), "c"(msr) : "memory");
	return ok;
}

/* Hypervisor leaves: Linux Documentation/virt/kvm/x86/cpuid.rst; 0x40000010 is VMware's, which KVM monitors fill in. */
static void check_hypervisor(void)
{
	union { struct { u32 b, c, d; } r; char text[13]; } name;
	struct cpuid leaf;
	u32 i, last;

	point("CPUID leaf 1 has the hypervisor bit", cpuid(1).c >> 31, 1);

	leaf = cpuid(0x40000000);
	last = leaf.a;
	name.r.b = leaf.b, name.r.c = leaf.c, name.r.d = leaf.d;
	name.text[12] = 0;
	for (i = 0; i < 12; i++)
		if (name.text[i] && (name.text[i] < ' ' || name.text[i] > '~'))
			name.text[i] = '?';
	print("# hypervisor: %s\n", name.text);
	print("# hypervisor-leaves: %x\n", last);
	if (name.r.b == 0x4b4d564b && name.r.c == 0x564b4d56 && name.r.d == 0x4d)
		good("CPUID leaf 0x40000000 says KVMKVMKVM");
	else
		bad("CPUID leaf 0x40000000 says KVMKVMKVM", "another signature", 0, "KVM's own, which guests look for");

	print("# kvm-features: %x\n", last >= 0x40000001 ? cpuid(0x40000001).a : 0);
	leaf = last >= 0x40000010 && last < 0x40010000 ? cpuid(0x40000010) : (struct cpuid){0};
	print("# tsc-khz: %d\n# apic-khz: %d\n", leaf.a, leaf.b);
	if (leaf.a && leaf.b)
		good("CPUID leaf 0x40000010 has the frequencies of TSC and APIC");
	else
		bad("CPUID leaf 0x40000010 has the frequencies of TSC and APIC", last < 0x40000010 ? "last leaf %x" : "0", last, "both, in kHz");
}

void check_processor(void)
{
	union { struct { u32 b, d, c; } r; char text[13]; } name;
	struct cpuid leaf = cpuid(0);
	u64 v = 0;

	name.r.b = leaf.b, name.r.d = leaf.d, name.r.c = leaf.c;
	name.text[12] = 0;
	print("# cpu: %s\n", name.text);
	check_hypervisor();

	/* MTRRdefType: enabled (11), type in bits 7..0; fixed ranges (10) are free. */
	if (!(cpuid(1).d & 1 << 12))
		skip("MTRRs are on, default type write-back", "CPUID shows no MTRRs");
	else if (!rdmsr(0x2ff, &v))
		bad("MTRRs are on, default type write-back", "a refused rdmsr", 0, "0x806");
	else
		point("MTRRs are on, default type write-back", (u32)v & 0x8ff, 0x806);
}
