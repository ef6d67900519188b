package kvm

import (
	"encoding/binary"
	"unsafe"
)

// ExitReason is why KVM_RUN returned (KVM_EXIT_*).
type ExitReason uint32

// The reasons that x86 machines without firmware meet.
const (
	ExitIO            ExitReason = 2
	ExitHypercall     ExitReason = 3
	ExitHLT           ExitReason = 5
	ExitMMIO          ExitReason = 6
	ExitShutdown      ExitReason = 8
	ExitFailEntry     ExitReason = 9
	ExitIntr          ExitReason = 10
	ExitInternalError ExitReason = 17
	ExitSystemEvent   ExitReason = 24
	ExitIOAPICEOI     ExitReason = 26
)

// ExitReason says what the run page describes after Run.
func (c *VCPU) ExitReason() ExitReason { return ExitReason(c.run.exitReason) }

// IO is the port access of an ExitIO: Count accesses of Size bytes to Port.
// Data, Size*Count bytes of the run page, is what the guest wrote or where the
// answer goes.
func (c *VCPU) IO() (port uint16, size int, write bool, data []byte) {
	e := &c.run.exit // direction u8, size u8, port u16, count u32, data_offset u64
	write, size = e[0] == 1, int(e[1])
	port = binary.LittleEndian.Uint16(e[2:])
	n := uint64(size) * uint64(binary.LittleEndian.Uint32(e[4:]))
	off := binary.LittleEndian.Uint64(e[8:])
	return port, size, write, c.page[off : off+n]
}

// MMIO is the access of an ExitMMIO. Data aliases the run page.
func (c *VCPU) MMIO() (addr uint64, write bool, data []byte) {
	e := &c.run.exit // phys_addr u64, data[8], len u32, is_write u8
	n := min(binary.LittleEndian.Uint32(e[16:]), 8)
	return binary.LittleEndian.Uint64(e[0:]), e[20] != 0, e[8 : 8+n]
}

// EOIVector is the vector of an ExitIOAPICEOI.
func (c *VCPU) EOIVector() uint8 { return c.run.exit[0] }

// FailEntry is the hardware's reason of an ExitFailEntry.
func (c *VCPU) FailEntry() (reason uint64, hostCPU uint32) {
	e := &c.run.exit
	return binary.LittleEndian.Uint64(e[0:]), binary.LittleEndian.Uint32(e[8:])
}

// Suberrors of an ExitInternalError (KVM_INTERNAL_ERROR_*).
const (
	InternalErrorEmulation   = 1
	InternalErrorSimulEx     = 2
	InternalErrorDeliveryEv  = 3
	InternalErrorUnexpectedE = 4
)

// InternalError is the suberror and KVM's data about an ExitInternalError.
func (c *VCPU) InternalError() (suberror uint32, data []uint64) {
	e := &c.run.exit // suberror u32, ndata u32, data[16] u64
	n := min(binary.LittleEndian.Uint32(e[4:]), 16)
	data = make([]uint64, n)
	for i := range data {
		data[i] = binary.LittleEndian.Uint64(e[8+8*i:])
	}
	return binary.LittleEndian.Uint32(e[0:]), data
}

// SystemEvent is the type of an ExitSystemEvent.
func (c *VCPU) SystemEvent() uint32 { return binary.LittleEndian.Uint32(c.run.exit[0:]) }

var _ [32]byte = [unsafe.Offsetof(runPage{}.exit)]byte{}
