package kvm

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/kvm"
)

// fabric is the machine's table of interrupt routes. KVM takes it only as a
// whole: the I/O APIC's level-triggered pins, whose number is their GSI, and the
// messages, whose GSIs follow.
type fabric struct {
	vm *kvm.VM

	mu       sync.Mutex
	pins     int
	levels   []hypervisor.LevelRoute
	messages []*message // by GSI - pins; nil: free
	table    []kvm.IRQRoute
}

// maxMessages keeps GSIs below KVM's 4096 routes.
const maxMessages = 4096 - 256

// install gives KVM the table anew; mu is held.
func (f *fabric) install() error {
	t := f.table[:0]
	add := func(gsi int, m bus.MSI) {
		t = append(t, kvm.IRQRoute{GSI: uint32(gsi), Type: kvm.IRQRouteMSI,
			AddrLo: uint32(m.Addr), AddrHi: uint32(m.Addr >> 32), Data: m.Data})
	}
	for _, r := range f.levels {
		add(r.Pin, r.MSI)
	}
	for _, m := range f.messages {
		if m != nil && m.routed {
			add(int(m.gsi), m.msi)
		}
	}
	f.table = t
	return f.vm.SetGSIRouting(t)
}

// RouteLevel implements hypervisor.Machine: by the routes KVM knows whose end of interrupt
// to report.
func (mc *machine) RouteLevel(routes []hypervisor.LevelRoute) error {
	f := &mc.fabric
	f.mu.Lock()
	defer f.mu.Unlock()
	f.levels = append(f.levels[:0], routes...)
	return f.install()
}

// message is a bus.Message on an irqfd. A mask takes the irqfd away: the eventfd
// then keeps what is signalled, which is just what a pending bit is, and giving
// the irqfd back delivers it.
type message struct {
	f      *fabric
	gsi    uint32
	fd     int
	msi    bus.MSI
	routed bool // msi is in the table
	open   bool // the irqfd is there

	alive  sync.RWMutex // Close waits for who signals: fd's number is another file's soon
	closed bool
}

// NewMessage implements bus.Fabric.
func (mc *machine) NewMessage() (bus.Message, error) {
	f := &mc.fabric
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd of an interrupt: %w", err)
	}
	m := &message{f: f, fd: fd}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.messages {
		if f.messages[i] == nil {
			f.messages[i], m.gsi = m, uint32(f.pins+i)
			return m, nil
		}
	}
	if len(f.messages) == maxMessages {
		unix.Close(fd)
		return nil, fmt.Errorf("%d interrupt messages: KVM takes no more in one machine", maxMessages)
	}
	m.gsi = uint32(f.pins + len(f.messages))
	f.messages = append(f.messages, m)
	return m, nil
}

var one = []byte{1, 0, 0, 0, 0, 0, 0, 0}

// Signal implements bus.Message. After Close it does nothing: a device's owner may
// tell of a change while the machine is restarted.
func (m *message) Signal() {
	m.alive.RLock()
	defer m.alive.RUnlock()
	if !m.closed {
		_, _ = unix.Write(m.fd, one)
	}
}

// FD implements bus.Message.
func (m *message) FD() int { return m.fd }

// Route implements bus.Message.
func (m *message) Route(msi bus.MSI) error {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	if m.closed {
		return os.ErrClosed
	}
	if !m.routed || m.msi != msi {
		m.msi, m.routed = msi, true
		if err := m.f.install(); err != nil {
			m.routed = false
			return errors.Join(err, m.mask()) // KVM keeps the old table: nothing is to go there
		}
	}
	if m.open {
		return nil
	}
	if err := m.f.vm.AssignIRQFD(m.fd, m.gsi); err != nil {
		return err
	}
	m.open = true
	return nil
}

// Mask implements bus.Message.
func (m *message) Mask() error {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	if m.closed {
		return nil
	}
	return m.mask()
}

func (m *message) mask() error {
	if !m.open {
		return nil
	}
	m.open = false
	return m.f.vm.DeassignIRQFD(m.fd, m.gsi)
}

// Pending implements bus.Message.
func (m *message) Pending() bool {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	if m.open || m.closed {
		return false // KVM takes signals at once
	}
	p := []unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1 && p[0].Revents&unix.POLLIN != 0
}

// Close implements bus.Message. The route stays in KVM's table until the next
// one is installed: without its irqfd nothing raises it.
func (m *message) Close() error {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	if m.closed {
		return nil
	}
	err := m.mask()
	m.f.messages[m.gsi-uint32(m.f.pins)] = nil
	m.alive.Lock()
	m.closed = true
	m.alive.Unlock()
	unix.Close(m.fd)
	return err
}

// Bind implements bus.Fabric.
func (mc *machine) Bind(d bus.IOEvent) error {
	err := mc.vm.AssignIOEvent(kvm.IOEvent(d))
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTTY) {
		return bus.ErrNoIOEvent
	}
	return err
}

// Unbind implements bus.Fabric.
func (mc *machine) Unbind(d bus.IOEvent) error { return mc.vm.DeassignIOEvent(kvm.IOEvent(d)) }
