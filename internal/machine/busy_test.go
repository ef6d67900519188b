package machine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/kvm"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	vconsole "github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// Sizes of a busy guest's requests, in bytes.
const (
	busyBlock = 4096
	busyFrame = 60
)

// block is a request of a disk for one block at a sector; kind is its virtio_blk type.
func block(kind uint32, sector uint64) []machinetest.Buffer {
	head := binary.LittleEndian.AppendUint32(nil, kind)
	head = binary.LittleEndian.AppendUint64(append(head, 0, 0, 0, 0), sector)
	return []machinetest.Buffer{{Data: head}, {Data: make([]byte, busyBlock), Device: kind == 0}, {Data: make([]byte, 1), Device: true}}
}

// received is a chain of one buffer that the device writes, sent one that it reads.
func received(n int) []machinetest.Buffer {
	return []machinetest.Buffer{{Data: make([]byte, n), Device: true}}
}

func sent(p []byte) []machinetest.Buffer { return []machinetest.Buffer{{Data: p}} }

// busyMachine is a machine whose guest keeps a disk, an entropy source, a network card,
// a console and a vsock at work, with peers that do so too.
type busyMachine struct {
	*Machine
	t     *testing.T
	guest *machinetest.Busy
	disk  string
	out   counter // the console's
	net   counter // frames' bytes that the card sent
	// What peers do passes a valve each: of the network, the console, and the vsock.
	valves [3]*valve
}

// valve holds up those who pass it while it is closed.
type valve struct {
	mu      sync.Mutex
	changed sync.Cond // on mu
	closed  bool
	waiting int
	passed  int
}

func newValve() *valve {
	v := new(valve)
	v.changed.L = &v.mu
	return v
}

func (v *valve) pass() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.waiting++
	for v.closed {
		v.changed.Wait()
	}
	v.waiting--
	v.passed++
}

// held reports whether somebody waits.
func (v *valve) held() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.waiting > 0
}

// set opens or closes it, and returns how often it was passed.
func (v *valve) set(closed bool) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = closed
	v.changed.Broadcast()
	return v.passed
}

// counter is a writer that counts bytes.
type counter struct{ n atomic.Uint64 }

func (c *counter) Write(p []byte) (int, error) { c.n.Add(uint64(len(p))); return len(p), nil }

// forever is an input without end.
type forever struct{ *valve }

func (f forever) Read(p []byte) (int, error) {
	f.pass()
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// peer listens at a Unix socket, sends frames to the card that connects, and receives
// its frames.
func (b *busyMachine) peer(path string) {
	l, err := net.Listen("unix", path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go io.Copy(&b.net, c)
		frame := make([]byte, 4+busyFrame)
		binary.BigEndian.PutUint32(frame, busyFrame)
		copy(frame[4:], "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01")
		burst := bytes.Repeat(frame, 100)
		for err == nil {
			b.valves[0].pass()
			_, err = c.Write(burst)
		}
	}()
}

// connect connects to the guest's vsock again and again, which sends it a request and,
// when the connection is closed, a reset each time.
func (b *busyMachine) connect(path string) {
	stop, done := make(chan struct{}), make(chan struct{})
	b.t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			b.valves[2].pass()
			if c, err := net.Dial("unix", path); err == nil {
				io.WriteString(c, "CONNECT 52\n")
				c.Close()
			}
		}
	}()
}

// busyOnKVM starts the machine, and returns when all of its queues are in use.
func busyOnKVM(t *testing.T) *busyMachine {
	t.Helper()
	machinetest.NeedKVM(t)
	b := &busyMachine{t: t, valves: [3]*valve{newValve(), newValve(), newValve()}}
	dir := t.TempDir()
	b.disk = filepath.Join(dir, "disk")
	if err := os.WriteFile(b.disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	writes := func(i byte) []machinetest.Buffer {
		r := block(1, 8)
		copy(r[1].Data, bytes.Repeat([]byte{i}, busyBlock))
		return r
	}
	b.guest = machinetest.NewBusy(
		machinetest.BusyQueue{Device: 0, Queue: 0, Chains: [][]machinetest.Buffer{writes(1), block(0, 8), writes(2), block(0, 8)}},
		machinetest.BusyQueue{Device: 1, Queue: 0, Chains: [][]machinetest.Buffer{received(64)}},
		machinetest.BusyQueue{Device: 2, Queue: 0, Chains: [][]machinetest.Buffer{received(2048)}},
		machinetest.BusyQueue{Device: 2, Queue: 1, Chains: [][]machinetest.Buffer{sent(make([]byte, 12+busyFrame))}},
		machinetest.BusyQueue{Device: 3, Queue: 0, Chains: [][]machinetest.Buffer{received(256)}},
		machinetest.BusyQueue{Device: 3, Queue: 1, Chains: [][]machinetest.Buffer{sent([]byte("console\n"))}},
		machinetest.BusyQueue{Device: 4, Queue: 0, Chains: [][]machinetest.Buffer{received(4096)}},
		machinetest.BusyQueue{Device: 4, Queue: 1},
	)
	socket, port := filepath.Join(dir, "net"), filepath.Join(dir, "vsock")
	b.peer(socket)
	c := setup{kernel: b.guest.Kernel, spec: Spec{Memory: 20 << 20}}
	for _, d := range []virtio.DeviceConfig{
		blk.Config{Path: b.disk}, rng.Config{}, vnet.Config{Name: "0", Kind: vnet.Stream, Socket: socket},
		vconsole.Config{Ports: []vconsole.Port{{Console: true, In: forever{b.valves[1]}, Out: &b.out}}}, vsock.Config{Path: port},
	} {
		device, err := d.Open(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.spec.Devices = append(c.spec.Devices, Device{Name: d.DeviceName(), Device: device})
	}
	host, err := kvm.Open("")
	if err != nil {
		t.Fatal(err)
	}
	b.Machine = Make(c.build(t, host))
	t.Cleanup(func() { b.Close(); <-b.Released() })
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.connect(port)
	t.Cleanup(func() { b.setValves(false) })
	b.goesOn()
	return b
}

// setValves opens or closes all valves, and returns how often they were passed.
func (b *busyMachine) setValves(closed bool) (passed [3]int) {
	for i, v := range b.valves {
		passed[i] = v.set(closed)
	}
	return passed
}

// starve closes the valves, and returns when the queues for what peers send wait for
// something: when they have not moved while the guest went round some times.
func (b *busyMachine) starve() {
	b.t.Helper()
	const polls = 20
	b.setValves(true)
	last, still := b.progress(), 0
	machinetest.Until(b.t, "rest of the peers", func() bool {
		now := b.progress()
		moves := now[0] == last[0]
		for _, queue := range []int{2, 4, 6} { // of the guest's queues
			moves = moves || now[3+queue] != last[3+queue]
		}
		for _, v := range b.valves {
			moves = moves || !v.held()
		}
		if still++; moves {
			still = 0
		}
		last = now
		return still >= polls
	})
}

// progress is what the guest and its devices have counted; 16 bits are a used index.
func (b *busyMachine) progress() []uint64 {
	word := func(addr uint64) *uint32 { // aligned
		p, err := b.mem.Slice(memory.Addr(addr), 4)
		if err != nil {
			b.t.Fatal(err)
		}
		return (*uint32)(unsafe.Pointer(&p[0]))
	}
	list := []uint64{uint64(atomic.LoadUint32(word(b.guest.Rounds))), b.out.n.Load(), b.net.n.Load()}
	for _, u := range b.guest.Used[:len(b.guest.Used)-1] {
		list = append(list, uint64(atomic.LoadUint32(word(u&^3))>>16))
	}
	return list
}

// goesOn returns when the guest and each of its queues have come further.
func (b *busyMachine) goesOn() {
	b.t.Helper()
	before := b.progress()
	for i := range before {
		machinetest.Until(b.t, fmt.Sprintf("progress of counter %d", i), func() bool { return b.progress()[i] != before[i] })
	}
}

// sums are checksums of the guest's memory and of the disk's file.
func (b *busyMachine) sums() (s [2]uint64) {
	b.t.Helper()
	var h maphash.Hash
	h.SetSeed(seed)
	for _, r := range b.spec.Plan.RAM {
		p, err := b.mem.Slice(r.Addr, r.Size)
		if err != nil {
			b.t.Fatal(err)
		}
		h.Write(p)
	}
	s[0] = h.Sum64()
	image, err := os.ReadFile(b.disk)
	if err != nil {
		b.t.Fatal(err)
	}
	s[1] = maphash.Bytes(seed, image)
	return s
}

var seed = maphash.MakeSeed()

// TestNothingIsWrittenWhilePaused: neither vCPUs nor devices write guest memory, nor
// the disk, whatever peers of the devices do meanwhile.
func TestNothingIsWrittenWhilePaused(t *testing.T) {
	b := busyOnKVM(t)
	for range 5 {
		if err := b.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := b.sums()
		for range 20 {
			if now := b.sums(); now != before {
				t.Fatalf("memory and disk have the sums %x, and had %x at the pause", now, before)
			}
		}
		if err := b.Resume(); err != nil {
			t.Fatal(err)
		}
		b.goesOn()
		if b.sums() == before {
			t.Error("the sums do not show the guest's work")
		}
	}
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	if o, err := b.Wait(t.Context()); err != nil || o.Reason != Killed {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestPeersOfAPausedMachineWait: what arrives for a guest that waits for it, while the
// machine is paused, comes to the guest after that.
func TestPeersOfAPausedMachineWait(t *testing.T) {
	b := busyOnKVM(t)
	for range 5 {
		b.starve()
		if err := b.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := b.sums()
		was := b.setValves(false)
		for i, v := range b.valves {
			machinetest.Until(t, fmt.Sprintf("work of peer %d", i), func() bool { return v.set(false) > was[i]+1 })
		}
		for range 5 {
			if now := b.sums(); now != before {
				t.Fatalf("memory and disk have the sums %x, and had %x at the pause", now, before)
			}
		}
		if err := b.Resume(); err != nil {
			t.Fatal(err)
		}
		b.goesOn()
	}
}
