package acpi

import "fmt"

// VirtioMMIO is a virtio-mmio device (virtio 1.3, section 4.2) with an
// edge-triggered interrupt. Its _HID is LNRO0005.
type VirtioMMIO struct {
	Addr, Size uint32 // bytes, guest-physical
	GSI        uint32
}

// virtioDevice is one of them with its number, which makes its name and UID.
type virtioDevice struct {
	VirtioMMIO
	n int
}

func (v virtioDevice) ports() (uint16, int) { return 0, 0 }
func (v virtioDevice) gsi() uint32          { return v.GSI }

func (v virtioDevice) aml() []byte {
	return dev(fmt.Sprintf("VR%02X", v.n),
		name("_HID", str("LNRO0005")),
		name("_UID", integer(uint64(v.n))),
		name("_CCA", integer(1)), // its accesses to memory are coherent
		name("_CRS", resources(fixedMemory(v.Addr, v.Size), edgeInterrupt(v.GSI))),
	)
}
