package mmio

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"unsafe"
)

// panel holds the values of all registers in memory that the guest reads directly, so
// that reads cause no exit. Reads have no side effects in this transport, so their
// values can be stored in advance.
//
// The registers that others select change with the driver's own writes alone, which
// exit. Status, configuration space and its generation change concurrently with the
// processors too.
type panel struct {
	mem []byte // Size bytes; nil: there is none

	mu sync.Mutex // of the configuration space; only ReadConfig's locks are taken under it
}

// word returns the register at off.
func (p *panel) word(off uint64) *uint32 { return (*uint32)(unsafe.Pointer(&p.mem[off])) }

func (p *panel) set(off uint64, v uint32) { atomic.StoreUint32(p.word(off), v) }

// initPanel stores the registers of a new device.
func (t *Transport) initPanel() {
	for off := uint64(0); off < config; off += 4 {
		t.panel.set(off, t.read(off))
	}
	t.showShared()
}

// show stores what a driver's write can change, and what showShared does. mu of the
// Transport is held.
func (t *Transport) show() (configChanged bool) {
	if t.panel.mem == nil {
		return false
	}
	for _, off := range [...]uint64{regDeviceFeatures, regQueueSizeMax, regQueueReady} {
		t.panel.set(off, t.selected(off))
	}
	return t.showShared()
}

// showShared stores what changes concurrently with the processors, and reports whether
// the configuration space has.
func (t *Transport) showShared() (configChanged bool) {
	p := &t.panel
	if p.mem == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var space [Size - config]byte
	t.in.ReadConfig(0, space[:])
	for i := 0; i < len(space); i += 4 {
		off := config + uint64(i)
		if v := binary.NativeEndian.Uint32(space[i:]); v != *p.word(off) {
			p.set(off, v)
			configChanged = true
		}
	}
	p.set(regGeneration, t.in.Generation()) // after the fields: a driver that has read old ones sees it change
	p.set(regStatus, uint32(t.in.Status()))
	return configChanged
}

// Refresh stores all registers after a restore or a pause, during which the driver
// could not be notified of a change.
func (t *Transport) Refresh() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed(t.show())
}

// readConfig copies the configuration space as it is shown, Size-config bytes, to
// space. False: there is no panel.
func (p *panel) readConfig(space []byte) bool {
	if p.mem == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	copy(space, p.mem[config:])
	return true
}

// setConfig shows space in place of the device's.
func (p *panel) setConfig(space []byte) {
	if p.mem == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 0; i < len(space); i += 4 {
		p.set(config+uint64(i), binary.NativeEndian.Uint32(space[i:]))
	}
}
