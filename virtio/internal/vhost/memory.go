package vhost

import (
	"fmt"
	"unsafe"

	"github.com/mayfly-vm/mayfly/memory"
)

// maxRegions is the kernel's least limit of regions (max_mem_regions).
const maxRegions = 64

// SetMemory tells the kernel where guest memory is (VHOST_SET_MEM_TABLE).
func (d *Device) SetMemory(m *memory.Map) error {
	regions := m.Regions()
	if len(regions) > maxRegions {
		return fmt.Errorf("%s: guest memory has %d regions; the kernel takes %d", d.path, len(regions), maxRegions)
	}
	var table struct {
		memHeader
		region [maxRegions]memRegion
	}
	table.regions = uint32(len(regions))
	for i := range regions {
		r := &regions[i]
		table.region[i] = memRegion{guest: uint64(r.Addr), size: r.Size, user: uint64(uintptr(r.Pointer()))}
	}
	return d.ptr(setMemTable, "VHOST_SET_MEM_TABLE", unsafe.Pointer(&table))
}
