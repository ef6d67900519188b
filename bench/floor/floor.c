/*
 * The floor of a start: a program that does the least a monitor must do to
 * bring a PVH kernel to its first byte on COM1. It maps the kernel's segments,
 * makes a machine with one vCPU and enters it. No device, no table, no check:
 * what a real monitor takes beyond this is what its work costs.
 *
 *	floor KERNEL [MIB]
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define HUGE (2ul << 20)

static void die(const char *what) { perror(what); exit(1); }

/* the entry of an ELF note of type 18 whose owner has four bytes ("Xen") */
static uint32_t entry_note(const char *p, size_t n)
{
	for (size_t o = 0; o + 12 <= n;) {
		uint32_t h[3], entry;

		memcpy(h, p + o, 12);
		size_t desc = o + 12 + ((h[0] + 3ul) & ~3ul), end = desc + ((h[1] + 3ul) & ~3ul);
		if (end > n)
			break;
		if (h[2] == 18 && h[0] == 4 && h[1] >= 4) {
			memcpy(&entry, p + desc, 4);
			return entry;
		}
		o = end;
	}
	return 0;
}

static uint32_t load(int f, char *mem)
{
	Elf64_Ehdr e;
	Elf64_Phdr p[32];
	uint32_t entry = 0;

	if (pread(f, &e, sizeof e, 0) != sizeof e || e.e_phnum > 32)
		die("ELF header");
	if (pread(f, p, sizeof *p * e.e_phnum, e.e_phoff) < 0)
		die("program headers");
	for (int i = 0; i < e.e_phnum; i++) {
		if (p[i].p_type == PT_NOTE && p[i].p_filesz <= PAGE) {
			char note[PAGE];
			if (pread(f, note, p[i].p_filesz, p[i].p_offset) == (ssize_t)p[i].p_filesz)
				entry = entry_note(note, p[i].p_filesz);
		}
		if (p[i].p_type != PT_LOAD)
			continue;
		size_t whole = (p[i].p_offset | p[i].p_paddr) % PAGE ? 0 : p[i].p_filesz & ~(PAGE - 1);
		if (whole && mmap(mem + p[i].p_paddr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, f, p[i].p_offset) == MAP_FAILED)
			die("mmap of a segment");
		if (pread(f, mem + p[i].p_paddr + whole, p[i].p_filesz - whole, p[i].p_offset + whole) < 0)
			die("pread of a segment");
	}
	return entry;
}

int main(int argc, char **argv)
{
	size_t size = (argc > 2 ? strtoul(argv[2], 0, 10) : 256) << 20;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), file = argc > 1 ? open(argv[1], O_RDONLY) : -1;
	if (kvm < 0 || file < 0)
		die("open");
	char *mem = mmap(0, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		die("mmap");
	mem = (char *)(((uintptr_t)mem + HUGE - 1) & ~(HUGE - 1));
	madvise(mem, size, MADV_HUGEPAGE);
	uint32_t entry = load(file, mem);

	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	struct kvm_userspace_memory_region slot = { .memory_size = size, .userspace_addr = (uintptr_t)mem };
	if (vm < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		die("machine");
	int cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	if (cpu < 0 || run == MAP_FAILED)
		die("vCPU");

	struct kvm_sregs s;
	struct kvm_segment code = { .limit = ~0u, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_segment data = code;
	data.selector = 16, data.type = 3;
	if (ioctl(cpu, KVM_GET_SREGS, &s))
		die("registers");
	s.cr0 = 0x11, s.cr4 = 0, s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	struct kvm_regs r = { .rip = entry, .rbx = 0x6000, .rflags = 2 };
	if (ioctl(cpu, KVM_SET_SREGS, &s) || ioctl(cpu, KVM_SET_REGS, &r))
		die("registers");
	for (;;) {
		if (ioctl(cpu, KVM_RUN, 0))
			die("KVM_RUN");
		if (run->exit_reason == KVM_EXIT_IO && run->io.port == 0x3f8 && run->io.direction == KVM_EXIT_IO_OUT) {
			if (write(1, (char *)run + run->io.data_offset, 1) < 0)
				die("write");
			pause(); /* as a monitor whose guest has halted */
		}
		if (run->exit_reason != KVM_EXIT_IO)
			return fprintf(stderr, "exit %u\n", run->exit_reason), 1;
	}
}
