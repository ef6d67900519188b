package tap

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Offloads: what may come out of the tap undone (include/uapi/linux/if_tun.h).
const (
	OffloadCSUM = unix.TUN_F_CSUM
	OffloadTSO4 = unix.TUN_F_TSO4
	OffloadTSO6 = unix.TUN_F_TSO6
	OffloadECN  = unix.TUN_F_TSO_ECN
	OffloadUSO4 = unix.TUN_F_USO4
	OffloadUSO6 = unix.TUN_F_USO6

	offloadUSO  = OffloadUSO4 | OffloadUSO6
	offloadBase = OffloadCSUM | OffloadTSO4 | OffloadTSO6 | OffloadECN
)

// probe finds out what the kernel's taps can do: UDP segmentation came with
// Linux 6.2. What it finds stays set until somebody who reads says SetOffload.
func (t *Tap) probe() error {
	for _, o := range []uint{offloadBase | offloadUSO, offloadBase, OffloadCSUM} {
		if t.SetOffload(o) == nil {
			t.offload = o
			return nil
		}
	}
	return t.SetOffload(0)
}

// Offloads are those that SetOffload takes.
func (t *Tap) Offloads() uint { return t.offload }

// SetOffload says what the reader can take undone.
func (t *Tap) SetOffload(o uint) error {
	if err := unix.IoctlSetInt(t.queues[0].fd, unix.TUNSETOFFLOAD, int(o)); err != nil {
		return fmt.Errorf("tap %s: offloads %#x: %w", t.name, o, err)
	}
	return nil
}

// SetActive makes the first n queues carry frames, and no other.
func (t *Tap) SetActive(n int) error {
	for i, q := range t.queues {
		want := i < n
		if want == t.active[i] {
			continue
		}
		ifr, err := unix.NewIfreq("")
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_DETACH_QUEUE)
		if want {
			ifr.SetUint16(unix.IFF_ATTACH_QUEUE)
		}
		if err := unix.IoctlIfreq(q.fd, unix.TUNSETQUEUE, ifr); err != nil {
			return fmt.Errorf("tap %s: queue %d: %w", t.name, i, err)
		}
		t.active[i] = want
	}
	return nil
}
