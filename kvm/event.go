package kvm

import "unsafe"

// Flags of KVM_IOEVENTFD and KVM_IRQFD, include/uapi/linux/kvm.h.
const (
	ioEventDatamatch = 1 << 0
	ioEventPIO       = 1 << 1
	ioEventDeassign  = 1 << 2
	irqFDDeassign    = 1 << 0
)

// IOEvent is struct kvm_ioeventfd (64 bytes) by its meaning: a guest's write
// that signals an eventfd and does not leave the kernel.
type IOEvent struct {
	Addr  uint64
	Port  bool // Addr is a port
	Size  int  // 1, 2, 4 or 8 bytes; 0: any width, memory-mapped only
	Match bool // only writes of Value
	Value uint64
	FD    int
}

// AssignIOEvent is KVM_IOEVENTFD.
func (v *VM) AssignIOEvent(e IOEvent) error { return v.ioEvent(e, 0) }

// DeassignIOEvent is KVM_IOEVENTFD with KVM_IOEVENTFD_FLAG_DEASSIGN.
func (v *VM) DeassignIOEvent(e IOEvent) error { return v.ioEvent(e, ioEventDeassign) }

func (v *VM) ioEvent(e IOEvent, flags uint32) error {
	a := struct {
		match, addr uint64
		len         uint32
		fd          int32
		flags       uint32
		_           [36]byte
	}{addr: e.Addr, len: uint32(e.Size), fd: int32(e.FD), flags: flags}
	if e.Match {
		a.match = e.Value
		a.flags |= ioEventDatamatch
	}
	if e.Port {
		a.flags |= ioEventPIO
	}
	return ioctlPtr(v.fd, "KVM_IOEVENTFD", ioEventFD, unsafe.Pointer(&a))
}

// AssignIRQFD is KVM_IRQFD: a signal of the eventfd raises the GSI, by the
// routing table at that moment. A signal that is pending counts.
func (v *VM) AssignIRQFD(fd int, gsi uint32) error { return v.irqFD(fd, gsi, 0) }

// DeassignIRQFD is KVM_IRQFD with KVM_IRQFD_FLAG_DEASSIGN. When it returns, no
// signal is under way any more; the eventfd keeps later ones.
func (v *VM) DeassignIRQFD(fd int, gsi uint32) error { return v.irqFD(fd, gsi, irqFDDeassign) }

func (v *VM) irqFD(fd int, gsi, flags uint32) error {
	a := struct {
		fd, gsi, flags, resample uint32
		_                        [16]byte
	}{fd: uint32(fd), gsi: gsi, flags: flags}
	return ioctlPtr(v.fd, "KVM_IRQFD", irqFD, unsafe.Pointer(&a))
}
