package soft

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// newProcessors makes processors of one machine.
func newProcessors(t *testing.T, m RAM, n int) []*CPU {
	t.Helper()
	w := new(world)
	shared := newCodeMap(1<<32, w)
	for range n {
		p := newCPU64(t, m)
		p.code.shared, p.world = shared, w
		w.cpus = append(w.cpus, p)
	}
	return w.cpus
}

// untilHalted runs processors at the same time, to the HLT of each.
func untilHalted(t *testing.T, processors []*CPU) {
	t.Helper()
	var all sync.WaitGroup
	for _, p := range processors {
		all.Go(func() {
			var e hypervisor.Exit
			for !p.halted {
				p.attend.Store(false)
				p.applyClaims()
				if p.executing(&e, false) {
					t.Errorf("%+v", e)
					return
				}
			}
		})
	}
	all.Wait()
}

// Processors that add to a number by instructions with LOCK, or by XCHG and CMPXCHG16B, lose nothing, also where the number lies
// across cache lines or pages.
func TestLockedInstructions(t *testing.T) {
	const times = 3000
	for name, c := range map[string]struct {
		code []byte // adds 1 to the number at RBX
		at   uint64
	}{
		"lock inc":             {[]byte{0xF0, 0x48, 0xFF, 0x03}, 64},
		"lock inc, byte":       {[]byte{0xF0, 0xFE, 0x03}, 65},
		"lock add, word":       {[]byte{0x66, 0xF0, 0x83, 0x03, 1}, 65},
		"lock xadd":            {[]byte{0xB8, 1, 0, 0, 0, 0xF0, 0x0F, 0xC1, 0x03}, 64},
		"across lines":         {[]byte{0xF0, 0x48, 0xFF, 0x03}, 61},
		"across pages":         {[]byte{0xF0, 0x48, 0xFF, 0x03}, pageSize - 3},
		"lock cmpxchg":         {[]byte{0x48, 0x8B, 0x03, 0x48, 0x8D, 0x50, 1, 0xF0, 0x48, 0x0F, 0xB1, 0x13, 0x75, 0xF2}, 64},
		"lock cmpxchg, a line": {[]byte{0x48, 0x8B, 0x03, 0x48, 0x8D, 0x50, 1, 0xF0, 0x48, 0x0F, 0xB1, 0x13, 0x75, 0xF2}, 60},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			base := s.addr
			// again: add; dec ecx; jnz again; hlt
			code := append(append([]byte{}, c.code...), 0xFF, 0xC9, 0x75, byte(-len(c.code)-4), 0xF4)
			copy(s.own[pageSize+2048:], code)
			processors := newProcessors(t, s, 4)
			for _, p := range processors {
				p.R[rbx], p.R[rcx], p.RIP = base+c.at, times, base+pageSize+2048
			}
			untilHalted(t, processors)
			got := binary.LittleEndian.Uint64(s.own[c.at:])
			if mask := uint64(1)<<16 - 1; name == "lock inc, byte" && got != 4*times&0xFF || name != "lock inc, byte" && got&mask != 4*times {
				t.Errorf("%d, want %d", got, 4*times)
			}
		})
	}
}

// A processor that only waits for another one, and that no interrupt ends, lets it execute an instruction alone.
func TestAloneWhileAnotherSpins(t *testing.T) {
	s := newSandbox(t)
	// first: lock inc qword [rbx]; dec ecx; jnz first; inc dword [rdx]; hlt. second: cmp dword [rdx], 0; jz second; hlt
	copy(s.own[pageSize+1024:], []byte{0xF0, 0x48, 0xFF, 0x03, 0xFF, 0xC9, 0x75, 0xF8, 0xFF, 0x02, 0xF4})
	copy(s.own[pageSize+2048:], []byte{0x83, 0x3A, 0, 0x74, 0xFB, 0xF4})
	processors := newProcessors(t, s, 2)
	for i, p := range processors {
		p.R[rbx], p.R[rcx], p.R[rdx], p.RIP = s.addr+61, 100, s.addr+256, s.addr+pageSize+1024*uint64(i+1)
	}
	untilHalted(t, processors)
	if n := binary.LittleEndian.Uint64(s.own[61:]); n != 100 {
		t.Errorf("%d", n)
	}
}
