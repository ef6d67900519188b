package mayfly

import (
	"github.com/mayfly-vm/mayfly/internal/machine"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Confinement takes rights from the process that runs a machine, once they are not needed
// any more. It is for a process of which the machine is the only task: the command has
// one for each machine. A program that holds more than the machine runs that in a process
// of its own.
type Confinement interface {
	// Open is called by New when the devices are open and some of them will connect to Unix
	// sockets. What it returns makes the connections from then on; nil: the devices do.
	Open(peers []virtio.Peer) (virtio.Dial, error)
	// Seal is called by the first Start when all that the machine needs is open, before
	// its first instruction. removals are descriptors of the directories in which Close
	// removes files: sockets, and links to terminals. Where it fails, Start does.
	Seal(removals []int) error
	// Thread is called by the thread of each vCPU, after Seal, before it runs the guest.
	// Go does not give that thread to others, and ends it with the vCPU.
	Thread() error
	// Applied names what was taken, for people: "seccomp". It is in Stats and Outcome, and
	// may be called at any time.
	Applied() []string
}

var _ machine.Confinement = Confinement(nil)

// openPeers hands the connections of devices over to the confinement.
func openPeers(c Confinement, devices []machine.Device) error {
	var peers []virtio.Peer
	for _, d := range devices {
		if p, ok := d.Device.(virtio.PeerDevice); ok {
			peers = append(peers, p.Peers()...)
		}
	}
	if c == nil || len(peers) == 0 {
		return nil
	}
	dial, err := c.Open(peers)
	if err != nil || dial == nil {
		return err
	}
	first := 0
	for _, d := range devices {
		if p, ok := d.Device.(virtio.PeerDevice); ok {
			base := first
			p.DialWith(func(peer int, port uint32) (int, error) { return dial(base+peer, port) })
			first += len(p.Peers())
		}
	}
	return nil
}

// confined is what the confinement has taken.
func (vm *VM) confined() []string {
	if vm.confine == nil {
		return []string{}
	}
	return append([]string{}, vm.confine.Applied()...) // as JSON a list, never null
}
