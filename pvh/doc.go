// Package pvh is the PVH boot ABI for x86, byte for byte: the start info that a
// monitor passes to a guest, the memory map in it, the state of the first
// processor at entry, and the ELF notes by which a kernel declares that it can be
// entered this way.
//
// The package reads and writes bytes and does not depend on files, KVM or guest
// memory; it imports only the standard library. All addresses are
// guest-physical, all sizes are bytes, and all structures are little-endian.
//
// A monitor that starts a guest does this:
//
//  1. [ParseNotes], then [FindEntry] and [FindReloc], on the kernel's notes.
//  2. [MapBuilder] for the memory map, with [RAMRanges] for the memory itself.
//  3. [StartInfo.Encode], and both byte slices copied into guest memory.
//  4. [NewEntryState] for the registers.
//
// Sources: Xen's docs/misc/pvh.pandoc, xen/include/public/elfnote.h and
// xen/include/public/arch-x86/hvm/start_info.h; the limits beyond these come
// from Linux's arch/x86/platform/pvh.
package pvh
