package pci

import (
	"encoding/binary"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// ECAM answers the ECAMSize bytes at Config.ECAM: the configuration space of a
// function is at slot<<15 | function<<12.
func (h *Host) ECAM() bus.Handler { return ecam{h} }

type ecam struct{ h *Host }

func (e ecam) Read(off uint64, p []byte) {
	if s := e.h.space(uint32(off / ecamStride)); s != nil {
		s.Read(off%ecamStride, p)
		return
	}
	ones(p)
}

func (e ecam) Write(off uint64, p []byte) {
	if s := e.h.space(uint32(off / ecamStride)); s != nil {
		s.Write(off%ecamStride, p)
	}
}

// IO answers the PortsSize ports from Ports on (PCI 3.0, section 3.2.2.3.2): an
// address of 32 bits at 0xCF8
//
//	31 enable, 23:16 bus, 15:11 slot, 10:8 function, 7:2 register
//
// and the 4 bytes that it selects from 0xCFC on.
func (h *Host) IO() bus.Handler { return ports{h} }

type ports struct{ h *Host }

const (
	dataPort        = 4
	addressWritable = 0x80FF_FFFC
)

func (io ports) Read(off uint64, p []byte) {
	if off == 0 && len(p) == 4 {
		binary.LittleEndian.PutUint32(p, io.h.addr.Load())
		return
	}
	if s, at := io.find(off, p); s != nil {
		s.Read(at, p)
		return
	}
	ones(p)
}

func (io ports) Write(off uint64, p []byte) {
	if off == 0 && len(p) == 4 {
		io.h.addr.Store(binary.LittleEndian.Uint32(p) & addressWritable)
		return
	}
	if s, at := io.find(off, p); s != nil {
		s.Write(at, p)
	}
}

// find returns the configuration space and the offset that an access to the data
// ports reaches; nil: none.
func (io ports) find(off uint64, p []byte) (*Space, uint64) {
	a := io.h.addr.Load()
	if off < dataPort || off+uint64(len(p)) > PortsSize || a>>31 == 0 || a>>16&0xFF != 0 {
		return nil, 0
	}
	return io.h.space(a >> 8 & 0xFF), uint64(a&0xFC) + off - dataPort
}
