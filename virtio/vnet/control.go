package vnet

import (
	"encoding/binary"
	"errors"

	"github.com/mayfly-vm/mayfly/virtio"
)

// Commands on the control queue (section 5.1.6.5): class u8, command u8, then data;
// the driver leaves one byte for the answer.
const (
	classRX        = 0
	classMAC       = 1
	classAnnounce  = 3
	classQueues    = 4
	classOffloads  = 5
	rxLast         = 5 // promisc, allmulti, alluni, nomulti, nouni, nobcast
	macTableSet    = 0
	macAddrSet     = 1
	announceAck    = 0
	queuesPairsSet = 0
	offloadsSet    = 0

	answerOK    = 0
	answerError = 1
)

// maxTable bounds the tables of addresses that a driver may send. A tap gives the
// card all frames anyway, so they are read and not kept.
const maxTable = 1 << 16

var errMemory = errors.New("guest memory could not be reached")

// controller serves the control queue.
type controller struct {
	d     *Device
	s     *virtio.Session
	q     *virtio.Queue
	chain virtio.Chain
}

func (c *controller) work() bool {
	did := false
	for range batch {
		if !c.q.Pop(&c.chain) {
			break
		}
		did = true
		written := 0
		if len(c.chain.In) > 0 {
			answer := [1]byte{answerError}
			if c.command() {
				answer[0] = answerOK
			}
			written = c.chain.In.CopyIn(answer[:], 0)
		}
		c.d.stats.controls.Add(1)
		c.q.Push(&c.chain, written)
	}
	c.q.Flush()
	return did
}

// command does one and tells whether it could.
func (c *controller) command() bool {
	var b [16]byte
	n := c.chain.Out.CopyOut(b[:], 0)
	if n < 2 {
		return false
	}
	total := c.chain.Out.Len()
	data := b[2:n]
	f := c.s.Features
	switch class, cmd := b[0], b[1]; {
	case class == classRX && f.Has(FeatureControlRX):
		return cmd <= rxLast && len(data) >= 1
	case class == classMAC && cmd == macTableSet && f.Has(FeatureControlRX):
		return c.table(total)
	case class == classMAC && cmd == macAddrSet && f.Has(FeatureControlMAC):
		if len(data) < len(MAC{}) {
			return false
		}
		m := MAC(data[:6])
		if m[0]&1 != 0 {
			return false
		}
		if c.d.space.setMAC(m) {
			c.s.ConfigChanged()
		}
		return true
	case class == classAnnounce && cmd == announceAck && f.Has(FeatureAnnounce):
		if c.d.space.setStatus(statusAnnounce, false) {
			c.s.ConfigChanged()
		}
		return true
	case class == classQueues && cmd == queuesPairsSet && f.Has(FeatureQueues):
		return len(data) >= 2 && c.d.setPairs(int(binary.LittleEndian.Uint16(data)))
	case class == classOffloads && cmd == offloadsSet && f.Has(FeatureGuestOffloads):
		return len(data) >= 8 && c.d.setOffloads(virtio.Feature(binary.LittleEndian.Uint64(data)), f)
	}
	return false
}

// table checks two tables, unicast and multicast: entries u32, then so many
// addresses.
func (c *controller) table(total int) bool {
	off := 2
	for range 2 {
		var b [4]byte
		if c.chain.Out.CopyOut(b[:], off) != len(b) {
			return false
		}
		n := binary.LittleEndian.Uint32(b[:])
		if n > maxTable {
			return false
		}
		if off += len(b) + 6*int(n); off > total {
			return false
		}
	}
	return true
}
