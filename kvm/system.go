package kvm

import (
	"errors"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DefaultPath is where the KVM device usually is.
const DefaultPath = "/dev/kvm"

// System is an open /dev/kvm.
type System struct {
	fd   int
	path string
}

// Open opens the KVM device; an empty path means DefaultPath. The error is an
// *fs.PathError around the errno: ENOENT without the module or the device node,
// EACCES without the permission.
func Open(path string) (*System, error) {
	if path == "" {
		path = DefaultPath
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &System{fd: fd, path: path}, nil
}

// Close closes the device; machines made from it live on.
func (s *System) Close() error {
	fd := s.fd
	s.fd = -1
	return unix.Close(fd)
}

// APIVersion is KVM_GET_API_VERSION; anything but the constant APIVersion is
// no KVM that anybody has used since 2007.
func (s *System) APIVersion() (int, error) {
	return ioctl(s.fd, "KVM_GET_API_VERSION", getAPIVersion, 0)
}

// CheckExtension is KVM_CHECK_EXTENSION on the device: 0 where the capability
// is missing, else 1 or the capability's own number.
func (s *System) CheckExtension(c Cap) (int, error) {
	return ioctl(s.fd, "KVM_CHECK_EXTENSION", checkExtension, uintptr(c))
}

// VCPUMmapSize is KVM_GET_VCPU_MMAP_SIZE: bytes of the run page and what
// follows it.
func (s *System) VCPUMmapSize() (int, error) {
	return ioctl(s.fd, "KVM_GET_VCPU_MMAP_SIZE", getVCPUMmapSize, 0)
}

// CPUIDEntry is struct kvm_cpuid_entry2: 40 bytes.
type CPUIDEntry struct {
	Function, Index, Flags uint32
	EAX, EBX, ECX, EDX     uint32
	_                      [3]uint32
}

// CPUIDSignificantIndex is KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the entry holds
// for its index (ECX) alone.
const CPUIDSignificantIndex = 1

const maxCPUIDEntries = 256 // KVM_MAX_CPUID_ENTRIES

type cpuid2 struct {
	nent, _ uint32
	entries [maxCPUIDEntries]CPUIDEntry
}

// SupportedCPUID is KVM_GET_SUPPORTED_CPUID: what a guest can be shown.
func (s *System) SupportedCPUID() ([]CPUIDEntry, error) {
	c := &cpuid2{nent: maxCPUIDEntries}
	if err := ioctlPtr(s.fd, "KVM_GET_SUPPORTED_CPUID", getSupportedCPUID, unsafe.Pointer(c)); err != nil {
		return nil, err
	}
	return c.entries[:min(c.nent, maxCPUIDEntries)], nil
}

// CreateVM is KVM_CREATE_VM with the default machine type.
func (s *System) CreateVM() (*VM, error) {
	fd, err := ioctl(s.fd, "KVM_CREATE_VM", createVM, 0)
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	return &VM{fd: fd}, nil
}

// IsMissing reports whether Open failed because there is no such device.
func IsMissing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)
}
