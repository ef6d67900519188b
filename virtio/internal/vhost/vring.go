package vhost

import (
	"fmt"
	"unsafe"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Setup tells the kernel what all queues of a session share. features are those
// of the session that the kernel knows.
func (d *Device) Setup(s *virtio.Session, features virtio.Feature) error {
	if s.Features.Has(virtio.FeatureRingPacked) {
		return fmt.Errorf("%s: the driver uses packed rings, which the kernel does not serve", d.path)
	}
	if err := d.Own(); err != nil {
		return err
	}
	if err := d.SetFeatures(features); err != nil {
		return err
	}
	if err := d.SetMemory(s.Memory); err != nil {
		return err
	}
	return d.faults.open(d, s)
}

// SetQueue hands the ring of q to the kernel as its queue i: size, addresses,
// where it stands, and the two eventfds. The kernel begins when the device gets
// its back end: NetSetBackend, VsockSetRunning. Until StopQueue the ring is the
// kernel's, and q must not be used.
func (d *Device) SetQueue(i int, q *virtio.Queue, mem *memory.Map) error {
	s := q.State()
	a := vringAddr{index: uint32(i)}
	n := uint64(s.Size)
	for _, p := range []struct {
		to   *uint64
		at   memory.Addr
		size uint64
	}{{&a.desc, s.Desc, 16 * n}, {&a.avail, s.Driver, 6 + 2*n}, {&a.used, s.Device, 6 + 8*n}} {
		b, err := mem.Slice(p.at, p.size)
		if err != nil {
			return fmt.Errorf("queue %d: %w", q.Index(), err)
		}
		*p.to = uint64(uintptr(unsafe.Pointer(&b[0])))
	}
	kick := vringFile{uint32(i), int32(q.KickFD())}
	call := vringFile{uint32(i), int32(q.Interrupt().FD())}
	fault := vringFile{uint32(i), d.faults.fd()}
	num, base := vringState{uint32(i), uint32(s.Size)}, vringState{uint32(i), uint32(s.Avail)}
	for _, c := range []struct {
		req uintptr
		op  string
		arg unsafe.Pointer
	}{
		{setVringNum, "VHOST_SET_VRING_NUM", pointer(&num)},
		{setVringBase, "VHOST_SET_VRING_BASE", pointer(&base)},
		{setVringAddr, "VHOST_SET_VRING_ADDR", pointer(&a)},
		{setVringCall, "VHOST_SET_VRING_CALL", pointer(&call)},
		{setVringErr, "VHOST_SET_VRING_ERR", pointer(&fault)},
		{setVringKick, "VHOST_SET_VRING_KICK", pointer(&kick)},
	} {
		if err := d.ptr(c.req, c.op, c.arg); err != nil {
			return fmt.Errorf("queue %d: %w", q.Index(), err)
		}
	}
	return nil
}

// StopQueue takes the ring of q, the kernel's queue i, back: the kernel has been
// told to stop (NetSetBackend with -1, VsockSetRunning with false). q goes on
// where the kernel stopped.
func (d *Device) StopQueue(i int, q *virtio.Queue, mem *memory.Map) error {
	for _, f := range []struct {
		req uintptr
		op  string
	}{{setVringKick, "VHOST_SET_VRING_KICK"}, {setVringCall, "VHOST_SET_VRING_CALL"}, {setVringErr, "VHOST_SET_VRING_ERR"}} {
		none := vringFile{uint32(i), -1}
		if err := d.ptr(f.req, f.op, pointer(&none)); err != nil {
			return fmt.Errorf("queue %d: %w", q.Index(), err)
		}
	}
	base := vringState{index: uint32(i)}
	if err := d.ptr(getVringBase, "VHOST_GET_VRING_BASE", pointer(&base)); err != nil {
		return fmt.Errorf("queue %d: %w", q.Index(), err)
	}
	s := q.State()
	s.Avail = uint16(base.num)
	// How far the kernel has answered stands in the used ring alone (section 2.7.8:
	// flags u16, idx u16). A driver that has changed it has spoiled its own ring.
	used, err := mem.Slice(s.Device+2, 2)
	if err != nil {
		return fmt.Errorf("queue %d: %w", q.Index(), err)
	}
	s.Used = uint16(used[0]) | uint16(used[1])<<8
	return q.SetPosition(s)
}
