package kvm

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// VCPU is a virtual CPU. Its methods belong to the thread that runs it; only
// RequestExit may be called from another.
type VCPU struct {
	fd   int
	page []byte
	run  *runPage
}

// runPage is the fixed head of struct kvm_run.
type runPage struct {
	requestInterruptWindow uint8
	immediateExit          uint8
	_                      [6]uint8
	exitReason             uint32
	_                      [4]uint8
	_                      uint64     // cr8
	_                      uint64     // apic_base
	exit                   [256]uint8 // the union, at offset 32
}

// Close unmaps the run page and closes the vCPU.
func (c *VCPU) Close() error {
	fd, page := c.fd, c.page
	c.fd, c.page, c.run = -1, nil, nil
	if err := unix.Munmap(page); err != nil {
		unix.Close(fd)
		return err
	}
	return unix.Close(fd)
}

// Run is KVM_RUN. It returns nil at an exit that is described in the run page,
// and an *Error around EINTR when a signal or RequestExit ended it, EAGAIN when
// the vCPU waits for its start-up IPI and was woken without one, or EFAULT when
// KVM could not reach guest memory.
func (c *VCPU) Run() error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), run, 0)
	switch errno {
	case 0:
		return nil
	case unix.EINTR:
		return errRunInterrupted // made once: this path must not allocate
	}
	return &Error{"KVM_RUN", errno}
}

var errRunInterrupted error = &Error{"KVM_RUN", unix.EINTR}

// RequestExit sets or clears immediate_exit: while set, Run finishes what the
// last exit left to do and returns EINTR without entering the guest.
func (c *VCPU) RequestExit(on bool) {
	// A byte store is atomic on x86-64; sync/atomic has no 8-bit one, and the
	// other bytes of the word are KVM's to read, so this goes by a wider Or/And.
	w := (*uint32)(unsafe.Pointer(&c.page[0]))
	if on {
		atomic.OrUint32(w, 1<<8)
	} else {
		atomic.AndUint32(w, ^uint32(1<<8))
	}
}

// Regs is struct kvm_regs: 144 bytes.
type Regs struct {
	RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11, R12, R13, R14, R15   uint64
	RIP, RFLAGS                            uint64
}

// Segment is struct kvm_segment: 24 bytes. It is a type of its own, next to
// pvh.Segment, because KVM reads and writes it as it lies in memory.
type Segment struct {
	Base                            uint64
	Limit                           uint32
	Selector                        uint16
	Type, Present, DPL, DB, S, L, G uint8
	AVL, Unusable                   uint8
	_                               uint8
}

// DTable is struct kvm_dtable: 16 bytes.
type DTable struct {
	Base  uint64
	Limit uint16
	_     [3]uint16
}

// Sregs is struct kvm_sregs: 312 bytes.
type Sregs struct {
	CS, DS, ES, FS, GS, SS, TR, LDT Segment
	GDT, IDT                        DTable
	CR0, CR2, CR3, CR4, CR8, EFER   uint64
	APICBase                        uint64
	InterruptBitmap                 [4]uint64
}

// Regs is KVM_GET_REGS.
func (c *VCPU) Regs() (r Regs, err error) {
	return r, ioctlPtr(c.fd, "KVM_GET_REGS", getRegs, unsafe.Pointer(&r))
}

// SetRegs is KVM_SET_REGS.
func (c *VCPU) SetRegs(r *Regs) error {
	return ioctlPtr(c.fd, "KVM_SET_REGS", setRegs, unsafe.Pointer(r))
}

// Sregs is KVM_GET_SREGS.
func (c *VCPU) Sregs() (s Sregs, err error) {
	return s, ioctlPtr(c.fd, "KVM_GET_SREGS", getSregs, unsafe.Pointer(&s))
}

// SetSregs is KVM_SET_SREGS.
func (c *VCPU) SetSregs(s *Sregs) error {
	return ioctlPtr(c.fd, "KVM_SET_SREGS", setSregs, unsafe.Pointer(s))
}

// SetCPUID is KVM_SET_CPUID2; at most 256 entries.
func (c *VCPU) SetCPUID(entries []CPUIDEntry) error {
	if len(entries) > maxCPUIDEntries {
		return &Error{"KVM_SET_CPUID2", unix.E2BIG}
	}
	t := &cpuid2{nent: uint32(len(entries))}
	copy(t.entries[:], entries)
	return ioctlPtr(c.fd, "KVM_SET_CPUID2", setCPUID2, unsafe.Pointer(t))
}

// MSR is struct kvm_msr_entry: 16 bytes.
type MSR struct {
	Index, _ uint32
	Data     uint64
}

// SetMSRs is KVM_SET_MSRS. It returns how many were set: KVM stops at the
// first that it refuses.
func (c *VCPU) SetMSRs(msrs []MSR) (int, error) {
	var t struct {
		n, _    uint32
		entries [32]MSR
	}
	if len(msrs) > len(t.entries) {
		return 0, &Error{"KVM_SET_MSRS", unix.E2BIG}
	}
	t.n = uint32(copy(t.entries[:], msrs))
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), setMSRs, uintptr(unsafe.Pointer(&t)))
	if errno != 0 {
		return 0, &Error{"KVM_SET_MSRS", errno}
	}
	return int(r), nil
}

// LAPIC is struct kvm_lapic_state: the local APIC's registers as its page shows
// them.
type LAPIC [1024]byte

// LAPIC is KVM_GET_LAPIC.
func (c *VCPU) LAPIC() (*LAPIC, error) {
	l := new(LAPIC)
	return l, ioctlPtr(c.fd, "KVM_GET_LAPIC", getLAPIC, unsafe.Pointer(l))
}

// SetLAPIC is KVM_SET_LAPIC.
func (c *VCPU) SetLAPIC(l *LAPIC) error {
	return ioctlPtr(c.fd, "KVM_SET_LAPIC", setLAPIC, unsafe.Pointer(l))
}

// MPState is a vCPU's activity (KVM_MP_STATE_*).
type MPState uint32

// The states that x86 knows.
const (
	MPRunnable      MPState = 0
	MPUninitialized MPState = 1 // waits for INIT
	MPInitReceived  MPState = 2 // waits for the start-up IPI
	MPHalted        MPState = 3
	MPSipiReceived  MPState = 4
)

// MPState is KVM_GET_MP_STATE.
func (c *VCPU) MPState() (s MPState, err error) {
	return s, ioctlPtr(c.fd, "KVM_GET_MP_STATE", getMPState, unsafe.Pointer(&s))
}

// SetMPState is KVM_SET_MP_STATE.
func (c *VCPU) SetMPState(s MPState) error {
	return ioctlPtr(c.fd, "KVM_SET_MP_STATE", setMPState, unsafe.Pointer(&s))
}

// TSCKHz is KVM_GET_TSC_KHZ: the guest's TSC frequency in kHz.
func (c *VCPU) TSCKHz() (int, error) { return ioctl(c.fd, "KVM_GET_TSC_KHZ", getTSCKHz, 0) }

// KVMClockCtrl is KVM_KVMCLOCK_CTRL: it notifies a guest that it was stopped on
// purpose, so that its soft-lockup watchdog keeps quiet. EINVAL before the guest
// has set up its clock.
func (c *VCPU) KVMClockCtrl() error {
	_, err := ioctl(c.fd, "KVM_KVMCLOCK_CTRL", kvmclockCtrl, 0)
	return err
}

// Translate is KVM_TRANSLATE: a guest-virtual address by the vCPU's current
// page tables. False: not mapped.
func (c *VCPU) Translate(virtual uint64) (physical uint64, ok bool, err error) {
	t := struct {
		linear, physical      uint64
		valid, writable, user uint8
		_                     [5]uint8
	}{linear: virtual}
	err = ioctlPtr(c.fd, "KVM_TRANSLATE", translate, unsafe.Pointer(&t))
	return t.physical, t.valid != 0, err
}

// PreFaultMemory is KVM_PRE_FAULT_MEMORY (Linux 6.12): it fills the nested page
// tables of [addr, addr+size) without an exit for each page. It returns how
// much of the range is left undone.
func (c *VCPU) PreFaultMemory(addr, size uint64) (left uint64, err error) {
	r := struct {
		gpa, size, flags uint64
		_                [5]uint64
	}{gpa: addr, size: size}
	err = ioctlPtr(c.fd, "KVM_PRE_FAULT_MEMORY", preFaultMemory, unsafe.Pointer(&r))
	return r.size, err
}
