// Package hostmem reports how much memory a machine may take of this host: what
// the kernel allocates for KVM's memory slots, and what is taken before a start.
package hostmem

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// What KVM allocates for a memory slot, in bytes (arch/x86/kvm: struct
// kvm_arch_memory_slot). The first is needed always, the second where KVM
// keeps reverse mappings and tracks writes for each page: with shadowed page
// tables, with tdp_mmu=N, and for a guest with nested virtualisation.
const (
	perHugePage = 4     // of 2 MiB: lpage_info
	perPage     = 8 + 2 // of 4 KiB: rmap, write tracking
)

// SlotBytes is the kernel memory for the slots of a machine with so many bytes.
func SlotBytes(memory uint64, shadow bool) uint64 {
	n := memory >> 21 * perHugePage
	if shadow {
		n += memory >> 12 * perPage
	}
	return n
}

// Unlimited is Figures.Group where no control group limits memory.
const Unlimited = math.MaxUint64

// Figures are what a host has, in bytes.
type Figures struct {
	Available uint64 // for programs without swapping: MemAvailable
	Group     uint64 // what this process's control group leaves
	HugePages uint64 // of 2 MiB, in the pool or allowed beyond it, and not promised to anybody
	Shadow    string // why KVM allocates memory for each guest page; "": it does not
}

// Machine is what a machine asks for.
type Machine struct {
	Memory              uint64 // bytes
	Prealloc, HugePages bool
	Nested              bool
	Software            bool   // KVM has no part in it: there are no slots
	Reserve             uint64 // to be left to the host; 0: DefaultReserve
}

// small is what is not worth reading files of /proc for, which a start would wait for.
const small = 16 << 20

// Matters reports whether what the machine asks for can be too much.
func (m *Machine) Matters() bool {
	return m.Prealloc || m.HugePages || !m.Software && SlotBytes(m.Memory, true) > small
}

// DefaultReserve is what machines leave of the memory that there is.
func (f *Figures) DefaultReserve() uint64 { return max(f.free()/16, 128<<20) }

func (f *Figures) free() uint64 { return min(f.Available, f.Group) }

// room is what a machine may take.
func (f *Figures) room(reserve uint64) uint64 {
	if reserve == 0 {
		reserve = f.DefaultReserve()
	}
	return f.free() - min(reserve, f.free())
}

// slotRoom is how much of it the kernel may allocate for KVM's slots. That can
// neither be reclaimed nor swapped, and is global: without a reserve that somebody
// has chosen, machines started together must not use up the host by it.
func (f *Figures) slotRoom(reserve uint64) uint64 {
	if reserve != 0 {
		return f.room(reserve)
	}
	return min(f.free()/4, f.room(0))
}

// Most is the most memory of one machine, in bytes: as KVM's slots allow it, and
// with prealloc.
func (f *Figures) Most(prealloc bool) uint64 {
	slots := SlotBytes(1<<30, f.Shadow != "")
	most := gibibytes(f.slotRoom(0), slots)
	if prealloc {
		most = min(most, gibibytes(f.room(0), slots+1<<30))
	}
	return most
}

// gibibytes is the memory, in bytes, of which each GiB takes unit bytes of room.
func gibibytes(room, unit uint64) uint64 {
	hi, lo := bits.Mul64(room, 1<<30)
	if hi >= unit {
		return Unlimited
	}
	n, _ := bits.Div64(hi, lo, unit)
	return n
}

// Check returns why the host can't bear a machine, with the figures; "": it can.
func (f *Figures) Check(m Machine) string {
	shadow := f.Shadow
	if shadow == "" && m.Nested {
		shadow = "its guest may run guests of its own"
	}
	if need := (m.Memory + 1<<21 - 1) &^ (1<<21 - 1); m.HugePages && need > f.HugePages {
		return fmt.Sprintf("%s of huge pages: the host's pool has %s free; raise vm.nr_hugepages or give the machine less memory", Size(need), Size(f.HugePages))
	}
	var slots uint64
	var what []string
	if !m.Software {
		slots = SlotBytes(m.Memory, shadow != "")
		w := "the host's kernel needs " + Size(slots) + " for KVM's memory slots"
		if shadow != "" {
			w += " (" + shadow + ")"
		}
		what = append(what, w)
	}
	need := slots
	where := "available"
	if f.Group < f.Available {
		where = "left in the control group"
	}
	if room := f.slotRoom(m.Reserve); m.Reserve == 0 && slots > room {
		return fmt.Sprintf("%s: %s, but %s are %s, and slots may take %s of them; give the machine less memory, or say how much is to stay in reserve",
			Size(m.Memory), what[0], Size(f.free()), where, Size(room))
	}
	if m.Prealloc && !m.HugePages {
		need += m.Memory
		what = append([]string{"all of it is taken before the start"}, what...)
	}
	if room := f.room(m.Reserve); need > room {
		return fmt.Sprintf("%s: %s, but %s are %s, of which %s stay in reserve; give the machine less memory, or make the reserve smaller",
			Size(m.Memory), strings.Join(what, ", and "), Size(f.free()), where, Size(f.free()-room))
	}
	return ""
}

// Size writes bytes in the largest unit that leaves two digits or more.
func Size(n uint64) string {
	for _, u := range []struct {
		shift uint
		name  string
	}{{40, "TiB"}, {30, "GiB"}, {20, "MiB"}} {
		if n >= 10<<u.shift {
			return fmt.Sprintf("%d %s", n>>u.shift, u.name)
		}
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
