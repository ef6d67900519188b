package kvm

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Error is a failed ioctl.
type Error struct {
	Op  string // the ioctl's name, e.g. "KVM_CREATE_VCPU"
	Err error  // the errno
}

// Error names the ioctl and says what the errno means.
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap gives the errno.
func (e *Error) Unwrap() error { return e.Err }

// ErrNotSupported is wrapped by errors about a capability that this host's KVM
// lacks.
var ErrNotSupported = errors.New("not supported by this host's KVM")

// APIVersion is the only version of the API there is; KVM has promised never
// to change it again.
const APIVersion = 12

// ioctl numbers, include/uapi/linux/kvm.h. constants_test.go compares them
// with the headers.
const (
	getAPIVersion       = 0xae00
	createVM            = 0xae01
	checkExtension      = 0xae03
	getVCPUMmapSize     = 0xae04
	getSupportedCPUID   = 0xc008ae05
	createVCPU          = 0xae41
	setUserMemoryRegion = 0x4020ae46
	setTSSAddr          = 0xae47
	setIdentityMapAddr  = 0x4008ae48
	setGSIRouting       = 0x4008ae6a
	irqFD               = 0x4020ae76
	ioEventFD           = 0x4040ae79
	enableCap           = 0x4068aea3
	signalMSI           = 0x4020aea5
	run                 = 0xae80
	getRegs             = 0x8090ae81
	setRegs             = 0x4090ae82
	getSregs            = 0x8138ae83
	setSregs            = 0x4138ae84
	translate           = 0xc018ae85
	getMSRs             = 0xc008ae88
	setMSRs             = 0x4008ae89
	getLAPIC            = 0x8400ae8e
	setLAPIC            = 0x4400ae8f
	setCPUID2           = 0x4008ae90
	getMPState          = 0x8004ae98
	setMPState          = 0x4004ae99
	getTSCKHz           = 0xaea3
	kvmclockCtrl        = 0xaead
	preFaultMemory      = 0xc040aed5
)

// MachineRequests are the numbers of the ioctls that this package makes for a machine, of
// KVM's own descriptor and the machine's, for a filter of system calls. Those of
// RunningRequests are among them.
func MachineRequests() []uint32 {
	return append(RunningRequests(), getAPIVersion, createVM, checkExtension, getVCPUMmapSize, getSupportedCPUID, createVCPU, setTSSAddr, setIdentityMapAddr, enableCap)
}

// RunningRequests are those for a machine that has all its vCPUs: memory, interrupts,
// notifications.
func RunningRequests() []uint32 {
	return []uint32{setUserMemoryRegion, setGSIRouting, irqFD, ioEventFD, signalMSI}
}

// VCPURequests are those of a vCPU's descriptor.
func VCPURequests() []uint32 {
	return []uint32{
		run, getRegs, setRegs, getSregs, setSregs, translate, getMSRs, setMSRs, getLAPIC, setLAPIC, setCPUID2,
		getMPState, setMPState, getTSCKHz, kvmclockCtrl, preFaultMemory,
	}
}

// Cap is a KVM capability number (KVM_CAP_*).
type Cap int

// Capabilities that Mayfly asks about, include/uapi/linux/kvm.h.
const (
	CapUserMemory         Cap = 3
	CapSetTSSAddr         Cap = 4
	CapExtCPUID           Cap = 7
	CapNrVCPUs            Cap = 9
	CapNrMemslots         Cap = 10
	CapMPState            Cap = 14
	CapSyncMMU            Cap = 16
	CapIRQRouting         Cap = 25
	CapIRQFD              Cap = 32
	CapIOEventFD          Cap = 36
	CapSetIdentityMapAddr Cap = 37
	CapAdjustClock        Cap = 39
	CapGetTSCKHz          Cap = 61
	CapMaxVCPUs           Cap = 66
	CapTSCDeadlineTimer   Cap = 72
	CapSignalMSI          Cap = 77
	CapReadonlyMem        Cap = 81
	CapSplitIRQChip       Cap = 121
	CapMaxVCPUID          Cap = 128
	CapX2APICAPI          Cap = 129
	CapImmediateExit      Cap = 136
	CapX86DisableExits    Cap = 143
	CapPMUCapability      Cap = 212
	CapPreFaultMemory     Cap = 236
)

// ioctl makes the call and tries again when a signal came in between.
func ioctl(fd int, op string, req uintptr, arg uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, arg)
		switch errno {
		case 0:
			return int(r), nil
		case syscall.EINTR:
			continue
		}
		return 0, &Error{op, errno}
	}
}

func ioctlPtr(fd int, op string, req uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(arg))
		switch errno {
		case 0:
			return nil
		case syscall.EINTR:
			continue
		}
		return &Error{op, errno}
	}
}
