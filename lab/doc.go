// Package lab runs programs on a KVM that can run Linux, also on machines that
// have none.
//
// [Run] takes a static program and the files it needs. When this machine's own
// KVM can run Linux, the program runs here. Otherwise it runs in the nest: QEMU
// emulates an AMD processor with SVM and nested paging (TCG, no KVM needed),
// Debian's kernel boots on it and loads kvm-amd, and the program finds Linux's
// real KVM at /dev/kvm. The nest is slow, so times measured there mean
// nothing by themselves; ratios between two programs in one run, counts of
// exits and the truth of what KVM does are what it is for.
//
// Three machines are spoken of: L0 is this one, L1 the emulated one that runs
// [Job.Program], L2 any guest that the program starts.
//
//	res, err := lab.Run(ctx, lab.Job{
//		Program: mayfly,
//		Args:    []string{"run", "kernel", "--initrd", "initrd"},
//		Files:   map[string]string{"kernel": vmlinux, "initrd": cpio},
//		Stdout:  os.Stdout,
//	})
//
// What the emulation gets wrong, with QEMU 7.2: a guest's XSETBV does not reach
// KVM, so every L2 Linux warns of an "XSAVE consistency problem" and goes on
// without XSAVE, whichever monitor started it. With two processors the nest
// hangs now and then, so it has one; L2 guests may have more. An interrupt may be
// lost; the line to the lab carries a byte five times a second, whose interrupt wakes
// a processor that sleeps for ever without.
//
// What is too large for the nest's memory comes as a disk ([Job.Disks]); lab/images
// makes a whole Debian.
//
// A Go test package goes into the lab as a whole with [Main].
//
// The environment variable MAYFLY_LAB=native or MAYFLY_LAB=nest overrides the
// choice; MAYFLY_LAB_CACHE moves the cache of kernels (see lab/kernels).
package lab
