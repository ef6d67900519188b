// Package check holds the PVH check guest and reads what it reports.
//
// The guest is a PVH ELF that any monitor can boot: it checks what the monitor handed over, prints one line of the
// Test Anything Protocol for each point on COM1 (port 0x3F8), and powers the machine off. Its source is in src/; the
// Makefile builds check.elf, which is committed and proved by a test to come from there.
//
// What the guest can't know by itself (how much memory was asked for, say) is given to it on the kernel command line,
// which Cmdline writes; without it those points are skipped.
package check

import _ "embed"

// ELF is the guest: an ELF64 with a note 18 of 8 bytes, everything at 1 MiB, 32-bit integer code. It needs no
// paging, and runs where KVM emulates every instruction of guest kernel code.
//
//go:embed check.elf
var ELF []byte
