package soft

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// Guests that flush translations, map another page, or rewrite an instruction before each call go on, with what is so each time,
// and take no more memory for it.
func TestRestlessGuests(t *testing.T) {
	const times, one, two = 100_000, 0x12000, 0x11000
	for name, c := range map[string]struct {
		code string
		want uint64 // the sum of what the function has returned
	}{
		// mov rax, cr3; mov cr3, rax; call rsi; add rbx, rax; dec ecx; jnz; hlt
		"flush": {"0F20D8 0F22D8 FFD6 4801C3 FFC9 75F1 F4", times},
		// xor qword [rdi], 0x3000; invlpg [rsi]; call rsi; add rbx, rax; dec ecx; jnz; hlt
		"map": {"48813700300000 0F013E FFD6 4801C3 FFC9 75ED F4", times * 3 / 2},
		// inc dword [rsi+1]; call rsi; add rbx, rax; dec ecx; jnz; hlt
		"rewrite": {"FF4601 FFD6 4801C3 FFC9 75F4 F4", times*(times+1)/2 + times},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTiny(t, long0, c.code)
			copy(g.ram[one:], g.bytes("B8 01000000 C3")) // mov eax, 1; ret
			copy(g.ram[two:], g.bytes("B8 02000000 C3"))
			g.R[rbx], g.R[rcx], g.R[rsi], g.R[rdi] = 0, times, one, tinyPT+8*(one/pageSize)
			var e hypervisor.Exit
			for !g.halted {
				g.attend.Store(false)
				if g.executing(&e, false) {
					t.Fatalf("%+v after %d times", e, times-g.R[rcx])
				}
				if k := &g.code; k.uops > maxUops || k.pages > maxPages || k.starts > maxStarts || len(k.index) > maxPages || k.shared.claimed > maxClaimed {
					t.Fatalf("%d instructions, %d pages, %d starts, %d pages of the machine", k.uops, k.pages, k.starts, k.shared.claimed)
				}
			}
			if g.R[rbx] != c.want {
				t.Errorf("the sum is %d, want %d", g.R[rbx], c.want)
			}
		})
	}
}
