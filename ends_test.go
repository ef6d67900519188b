package mayfly_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
)

// saysThen is a PVH kernel that writes text to COM1 and goes on with code, whose
// address in memory is given to it.
func saysThen(text string, code func(at uint32) []byte) []byte {
	le := binary.LittleEndian
	head := le.AppendUint32([]byte{0xBE}, readerData)             // mov $data,%esi
	head = le.AppendUint32(append(head, 0xB9), uint32(len(text))) // mov $len,%ecx
	head = append(head, 0x66, 0xBA, 0xF8, 0x03, 0xF3, 0x6E)       // mov $0x3f8,%dx; rep outsb
	return pvhGuest(append(head, code(readerCode+uint32(len(head)))...), []byte(text))
}

// plain is code that does not know its address.
func plain(code ...byte) func(uint32) []byte { return func(uint32) []byte { return code } }

// offAtKey polls COM1 for a key and powers off.
var offAtKey = plain(
	0x66, 0xBA, 0xFD, 0x03, // mov $0x3fd,%dx: LSR
	0xEC, 0xA8, 0x01, 0x74, 0xFB, // in %dx,%al; test $1,%al; jz to the in
	0x66, 0xBA, 0x00, 0x06, 0xB0, 0x34, 0xEE, // mov $0x600,%dx; mov $0x34,%al; out %al,%dx
	0xF4, 0xEB, 0xFD) // hlt; jmp to it

// inUserMode spins at CPL 3 and does nothing that a monitor sees.
func inUserMode(at uint32) []byte {
	le := binary.LittleEndian
	code := []byte{
		0xB9, 0x74, 0x01, 0, 0, // mov $0x174,%ecx: IA32_SYSENTER_CS
		0xB8, 8, 0, 0, 0, // mov $8,%eax
		0x31, 0xD2, // xor %edx,%edx
		0x0F, 0x30, // wrmsr
		0xB9, 0, 0, 0x50, 0, // mov $0x500000,%ecx: ESP
		0xBA} // mov $user,%edx: EIP
	code = le.AppendUint32(code, at+26)
	return append(code, 0x0F, 0x35, // sysexit
		0xF3, 0x90, 0xEB, 0xFC) // user: pause; jmp to it
}

const panicText = "Kernel panic - not syncing: an old log\n"

// What a guest writes ends nothing: what it does decides.
func TestTextAloneEndsNothing(t *testing.T) {
	for _, c := range []struct {
		name, text string
		code       func(uint32) []byte
		key        bool // powers off at a key
	}{
		{"panic text of a guest with exits", panicText, offAtKey, true},
		{"panic text of a guest in user mode", panicText, inUserMode, false},
		{"panic text of an idle guest", panicText, plain(0xFB, 0xF4, 0xEB, 0xFC), false}, // sti; hlt; jmp
		{"halt text", "reboot: System halted\n", offAtKey, true},
		{"halt text of an idle guest", "reboot: System halted\n", plain(0xFB, 0xF4, 0xEB, 0xFC), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, mayfly.Config{Kernel: file(t, "guest.elf", saysThen(c.text, c.code)), OnReboot: mayfly.RebootExit})
			ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second) // a panic takes five samples, one a second
			defer cancel()
			if o, err := r.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("it ended as %v (%s), %v", o.Reason, o.Detail, err)
			}
			if c.key {
				r.press("q")
				r.want(mayfly.PowerOff)
				return
			}
			if err := r.Kill(); err != nil {
				t.Fatal(err)
			}
			r.want(mayfly.Killed)
		})
	}
}

func TestEndsThatTextNames(t *testing.T) {
	for _, c := range []struct {
		name, text string
		code       func(uint32) []byte
		want       mayfly.Reason
	}{
		{"panic, then a spinning kernel", panicText, plain(0xF3, 0x90, 0xEB, 0xFC), mayfly.Panicked}, // pause; jmp
		{"panic, then a halt", panicText, plain(0xFA, 0xF4, 0xEB, 0xFD), mayfly.Panicked},            // cli; hlt; jmp
		{"panic, then a reset", panicText, plain(0xB0, 0xFE, 0xE6, 0x64, 0xF4), mayfly.Panicked},     // mov $0xfe,%al; out %al,$0x64
		{"panic, then a crash", panicText, plain(0x0F, 0x0B), mayfly.Panicked},                       // ud2
		{"panic text before a restart in good order", panicText + "reboot: Restarting system\n", plain(0xB0, 0xFE, 0xE6, 0x64, 0xF4), mayfly.Rebooted},
		{"restart by a triple fault", "reboot: Restarting system\n", plain(0x0F, 0x0B), mayfly.Rebooted},
		{"panic text before power off", panicText, plain(0x66, 0xBA, 0x00, 0x06, 0xB0, 0x34, 0xEE, 0xF4), mayfly.PowerOff},
		{"halt", "reboot: System halted\n", plain(0xFA, 0xF4, 0xEB, 0xFD), mayfly.Halted},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start(t, mayfly.Config{Kernel: file(t, "guest.elf", saysThen(c.text, c.code)), OnReboot: mayfly.RebootExit}).want(c.want)
		})
	}
}
