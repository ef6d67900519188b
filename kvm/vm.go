package kvm

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// VM is a virtual machine of KVM: memory slots, interrupt controllers, vCPUs.
type VM struct {
	fd int
}

// Close drops the handle; the machine goes when its vCPUs are closed too.
func (v *VM) Close() error {
	fd := v.fd
	v.fd = -1
	return unix.Close(fd)
}

// CheckExtension is KVM_CHECK_EXTENSION on the machine.
func (v *VM) CheckExtension(c Cap) (int, error) {
	return ioctl(v.fd, "KVM_CHECK_EXTENSION", checkExtension, uintptr(c))
}

// EnableCap is KVM_ENABLE_CAP with up to four arguments.
func (v *VM) EnableCap(c Cap, args ...uint64) error {
	var a struct {
		cap, flags uint32
		args       [4]uint64
		_          [64]byte
	}
	a.cap = uint32(c)
	copy(a.args[:], args)
	return ioctlPtr(v.fd, "KVM_ENABLE_CAP", enableCap, unsafe.Pointer(&a))
}

// SetTSSAddr is KVM_SET_TSS_ADDR: three pages of guest-physical space below
// 4 GiB that Intel's hardware needs while a guest is in real mode.
func (v *VM) SetTSSAddr(addr uint64) error {
	_, err := ioctl(v.fd, "KVM_SET_TSS_ADDR", setTSSAddr, uintptr(addr))
	return err
}

// SetIdentityMapAddr is KVM_SET_IDENTITY_MAP_ADDR: one such page more. It must
// come before the first vCPU.
func (v *VM) SetIdentityMapAddr(addr uint64) error {
	return ioctlPtr(v.fd, "KVM_SET_IDENTITY_MAP_ADDR", setIdentityMapAddr, unsafe.Pointer(&addr))
}

// MemReadonly is KVM_MEM_READONLY of MemoryRegion.Flags: the guest's writes are
// MMIO exits.
const MemReadonly = 1 << 1

// MemoryRegion is struct kvm_userspace_memory_region: 32 bytes. Size 0 removes
// the slot.
type MemoryRegion struct {
	Slot, Flags uint32
	GuestAddr   uint64 // bytes, page aligned
	Size        uint64 // bytes, page aligned
	HostAddr    uint64 // of this process, page aligned
}

// SetUserMemoryRegion is KVM_SET_USER_MEMORY_REGION. The host memory must stay
// mapped as long as the slot is there.
func (v *VM) SetUserMemoryRegion(r MemoryRegion) error {
	return ioctlPtr(v.fd, "KVM_SET_USER_MEMORY_REGION", setUserMemoryRegion, unsafe.Pointer(&r))
}

// IRQRoute is struct kvm_irq_routing_entry for an MSI: 48 bytes.
type IRQRoute struct {
	GSI, Type, Flags, _  uint32
	AddrLo, AddrHi, Data uint32
	DevID                uint32
	_                    [4]uint32
}

// IRQRouteMSI is KVM_IRQ_ROUTING_MSI.
const IRQRouteMSI = 2

const maxRoutes = 4096 // KVM_MAX_IRQ_ROUTES

// SetGSIRouting is KVM_SET_GSI_ROUTING: it replaces the whole table.
func (v *VM) SetGSIRouting(routes []IRQRoute) error {
	if len(routes) > maxRoutes {
		return &Error{"KVM_SET_GSI_ROUTING", unix.E2BIG}
	}
	buf := make([]IRQRoute, len(routes)+1) // the 8-byte header stands in front of the entries
	copy(buf[1:], routes)
	head := unsafe.Add(unsafe.Pointer(&buf[0]), unsafe.Sizeof(buf[0])-8) // an empty table is one too
	*(*[2]uint32)(head) = [2]uint32{uint32(len(routes)), 0}
	err := ioctlPtr(v.fd, "KVM_SET_GSI_ROUTING", setGSIRouting, head)
	runtime.KeepAlive(buf)
	return err
}

// SignalMSI is KVM_SIGNAL_MSI: it delivers one message. False: the guest
// blocked it.
func (v *VM) SignalMSI(addr uint64, data uint32) (bool, error) {
	m := struct {
		lo, hi, data, flags, devid uint32
		_                          [12]byte
	}{lo: uint32(addr), hi: uint32(addr >> 32), data: data}
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(v.fd), signalMSI, uintptr(unsafe.Pointer(&m)))
		switch errno {
		case 0:
			return r > 0, nil
		case unix.EINTR:
			continue
		}
		return false, &Error{"KVM_SIGNAL_MSI", errno}
	}
}

// CreateVCPU is KVM_CREATE_VCPU; the id is the vCPU's APIC id. mmapSize is
// System.VCPUMmapSize.
func (v *VM) CreateVCPU(id, mmapSize int) (*VCPU, error) {
	fd, err := ioctl(v.fd, "KVM_CREATE_VCPU", createVCPU, uintptr(id))
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	page, err := unix.Mmap(fd, 0, mmapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		unix.Close(fd)
		return nil, &Error{"mmap of the vCPU's run page", err}
	}
	return &VCPU{fd: fd, page: page, run: (*runPage)(unsafe.Pointer(&page[0]))}, nil
}
