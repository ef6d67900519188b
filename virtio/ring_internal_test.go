package virtio

import (
	"testing"
	"unsafe"

	"github.com/mayfly-vm/mayfly/memory"
)

func newMemory(t testing.TB, size uint64) *memory.Map {
	t.Helper()
	m, err := memory.New([]memory.Range{{Addr: 0, Size: size}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestPositions(t *testing.T) {
	for _, c := range []struct {
		p    position
		n    uint16
		size uint16
		want position
	}{
		{wrapBit, 1, 4, wrapBit | 1}, {wrapBit | 3, 1, 4, 0}, {3, 1, 4, wrapBit}, {wrapBit | 2, 4, 4, 2},
		{0, 1, 1, wrapBit}, {wrapBit, 1, 1, 0}, {1023, 1024, 1024, wrapBit | 1023}, {5, 0, 7, 5},
	} {
		if got := c.p.add(c.n, c.size); got != c.want {
			t.Errorf("%#x + %d of %d: %#x, want %#x", c.p, c.n, c.size, got, c.want)
		}
		if got := c.want.sub(c.n, c.size); got != c.p {
			t.Errorf("%#x - %d of %d: %#x, want %#x", c.want, c.n, c.size, got, c.p)
		}
	}
}

// Each distance, each event: an interrupt is due when the event is passed.
func TestPackedEvents(t *testing.T) {
	mem := newMemory(t, 4096)
	for size := uint16(1); size <= 6; size++ {
		s := QueueState{Size: size, Desc: 0, Driver: 1024, Device: 2048}
		all := []position{}
		for p, i := position(firstPosition), uint16(0); i < 2*size; i++ {
			all = append(all, p)
			p = p.add(1, size)
		}
		for _, old := range all {
			for n := uint16(0); n <= 3*size; n++ {
				for _, event := range all {
					s.Used, s.Avail = uint16(old), uint16(old)
					rg, err := newPacked(mem, &s, FeatureRingPacked|FeatureEventIndex)
					if err != nil {
						t.Fatal(err)
					}
					r := rg.(*packed)
					store16(r.driver, uint16(event))
					store16(unsafe.Add(r.driver, 2), eventDesc)
					want := n >= size
					for i := range n {
						want = want || old.add(i, size) == event
						r.push(&Chain{count: 1}, 0)
					}
					if got := r.interruptWanted(); got != want {
						t.Fatalf("size %d, from %#x %d pushed, event %#x: %v", size, old, n, event, got)
					}
					if r.interruptWanted() {
						t.Fatal("an interrupt without anything new")
					}
				}
			}
		}
	}
}

func TestPackedFlags(t *testing.T) {
	mem := newMemory(t, 4096)
	s := QueueState{Size: 4, Desc: 0, Driver: 1024, Device: 2048, Avail: firstPosition, Used: firstPosition}
	for _, c := range []struct {
		flags  uint16
		events bool
		want   bool
	}{{eventEnable, true, true}, {eventDisable, true, false}, {eventDesc, false, true}, {3, true, true}, {eventDisable, false, false}} {
		f := FeatureRingPacked
		if c.events {
			f |= FeatureEventIndex
		}
		rg, err := newPacked(mem, &s, f)
		if err != nil {
			t.Fatal(err)
		}
		r := rg.(*packed)
		store16(r.driver, 3)
		store16(unsafe.Add(r.driver, 2), c.flags)
		r.push(&Chain{count: 1}, 0)
		if got := r.interruptWanted(); got != c.want {
			t.Errorf("flags %d, events %v: %v", c.flags, c.events, got)
		}
	}
}

func TestSplitEvents(t *testing.T) {
	mem := newMemory(t, 4096)
	for _, c := range []struct {
		name       string
		used       uint16
		pushed     int
		event      uint16
		want, flag bool
	}{
		{"nothing", 5, 0, 5, false, false},
		{"the next", 5, 1, 5, true, true},
		{"not yet", 5, 1, 6, false, true},
		{"passed before", 5, 1, 4, false, true},
		{"the last of three", 5, 3, 7, true, true},
		{"behind three", 5, 3, 8, false, true},
		{"at the wrap", 0xFFFF, 1, 0xFFFF, true, true},
		{"over the wrap", 0xFFFE, 4, 1, true, true},
		{"behind the wrap", 0xFFFE, 4, 2, false, true},
		{"half of all", 0, 0x8000, 0x7FFF, true, true},
		{"all", 9, 0x10000, 8, true, true},
		{"more than all", 9, 0x10001, 3, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := QueueState{Size: 8, Desc: 0, Driver: 1024, Device: 2048, Used: c.used}
			for _, events := range []bool{true, false} {
				f := Feature(0)
				if events {
					f = FeatureEventIndex
				}
				rg, err := newSplit(mem, &s, f)
				if err != nil {
					t.Fatal(err)
				}
				r := rg.(*split)
				store16(r.usedEvent(), c.event)
				for range c.pushed {
					r.push(&Chain{}, 0)
				}
				want := c.flag
				if events {
					want = c.want
				}
				if got := r.interruptWanted(); got != want {
					t.Errorf("events %v: %v, want %v", events, got, want)
				}
				if r.interruptWanted() {
					t.Error("an interrupt without anything new")
				}
			}
		})
	}
}

func TestSplitNotify(t *testing.T) {
	mem := newMemory(t, 4096)
	s := QueueState{Size: 8, Desc: 0, Driver: 1024, Device: 2048, Avail: 77}
	rg, _ := newSplit(mem, &s, FeatureEventIndex)
	r := rg.(*split)
	if r.notify(true); load16(r.availEvent()) != 77 {
		t.Errorf("event %d, want 77", load16(r.availEvent()))
	}
	// Silence: not even the next chain, or the next hundred at once, passes the event.
	r.notify(false)
	for _, added := range []uint16{1, 100} {
		if next := 77 + added; next-load16(r.availEvent())-1 < added { // section 2.7.10
			t.Errorf("event %d: a driver that adds %d rings", load16(r.availEvent()), added)
		}
	}
	rg, _ = newSplit(mem, &s, 0)
	r = rg.(*split)
	if r.notify(false); load16(r.used) != usedNoNotify {
		t.Error("the driver was not told to be silent")
	}
	if r.notify(true); load16(r.used) != 0 {
		t.Error("the driver was not asked to ring")
	}
}

func TestRingsMustLieInMemory(t *testing.T) {
	mem := newMemory(t, 1<<20)
	good := QueueState{Size: 16, Desc: 0x1000, Driver: 0x2000, Device: 0x3000}
	for name, edit := range map[string]func(*QueueState){
		"descriptors unaligned": func(s *QueueState) { s.Desc++ }, "driver area unaligned": func(s *QueueState) { s.Driver++ },
		"device area unaligned": func(s *QueueState) { s.Device += 2 }, "descriptors outside": func(s *QueueState) { s.Desc = 1<<20 - 16 },
		"driver area outside": func(s *QueueState) { s.Driver = 1 << 20 }, "device area outside": func(s *QueueState) { s.Device = 1<<20 - 2&^3 },
		"wraps around": func(s *QueueState) { s.Desc = ^memory.Addr(15) },
	} {
		s := good
		edit(&s)
		if _, err := newSplit(mem, &s, 0); err == nil {
			t.Errorf("split, %s: accepted", name)
		}
		if name == "driver area unaligned" || name == "device area unaligned" {
			continue
		}
		if _, err := newPacked(mem, &s, 0); err == nil && name != "device area outside" {
			t.Errorf("packed, %s: accepted", name)
		}
	}
	s := good
	s.Avail = 16
	if _, err := newPacked(mem, &s, 0); err == nil {
		t.Error("a position outside the ring: accepted")
	}
}
