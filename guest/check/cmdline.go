package check

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
)

// Options are the guest's orders. The zero value checks what needs no knowledge of the machine and powers off.
type Options struct {
	Memory  uint64   // guest memory in bytes as the monitor was asked for; 0: not compared
	CPUs    int      // processors as the monitor was asked for; 0: not compared
	Modules []uint32 // Sum of each module; nil: not compared, empty: there must be none. The first one's content is read

	Task   bool // try the task register too, as the last point: a bad one ends in a triple fault, and kvm_pvm can't do it
	X2APIC bool // switch x2APIC on, and use it for processors and timer

	NoChecks bool // leave the points out: the plan is then 1..0
	Spew     int  // write so many bytes of Spew to COM1, as fast as it takes them
	Echo     bool // write back what COM1 receives, by interrupt, until Ctrl-D (4)
	Mark     byte // write this byte to Mayfly's port 0x604 before anything else; 0: none
	Scribble bool // overwrite low memory before the end, so that a reset must write the tables again
	End      End

	Pad int // fill the command line up to so many bytes; 0: none
}

// End is how the guest ends.
type End string

// The ends. A monitor that ignores one of the registers makes the guest try the next way; the last is cli and hlt.
const (
	PowerOff    End = ""            // ACPI sleep control register, else as Reboot, then QEMU's isa-debug-exit
	Reboot      End = "reboot"      // ACPI reset register, else 0xFE to port 0x64
	Halt        End = "halt"        // cli and hlt, for ever
	TripleFault End = "triplefault" // an exception without an IDT
	UDLoop      End = "ud-loop"     // an undefined opcode that faults for ever
	XGETBV      End = "xgetbv"      // an instruction that KVM's emulator doesn't know: an internal error on kvm_pvm
	Button      End = "button"      // power off after bit 0 of Mayfly's port 0x603 was set: the power button
	Ask         End = "ask"         // by one byte on COM1: p, r, h, t, u or x, as above
)

// Cmdline returns the kernel command line that gives the guest its orders. A monitor may add text before and after it.
func Cmdline(o Options) string {
	var b strings.Builder
	number := func(name string, v uint64) {
		if v != 0 {
			fmt.Fprintf(&b, " %s=%d", name, v)
		}
	}
	flag := func(name string, on bool) {
		if on {
			b.WriteString(" " + name)
		}
	}
	number("memory", o.Memory)
	number("cpus", uint64(o.CPUs))
	if o.Modules != nil {
		fmt.Fprintf(&b, " modules=%d", len(o.Modules))
		if len(o.Modules) > 0 {
			fmt.Fprintf(&b, " module-sum=%#x", o.Modules[0])
		}
	}
	flag("task", o.Task)
	flag("x2apic", o.X2APIC)
	flag("nocheck", o.NoChecks)
	number("spew", uint64(o.Spew))
	flag("echo", o.Echo)
	number("mark", uint64(o.Mark))
	flag("scribble", o.Scribble)
	if o.End != PowerOff {
		fmt.Fprintf(&b, " end=%s", o.End)
	}
	const frame = len("check=0x00000000 check-end")
	if n := o.Pad - frame - b.Len() - len(" pad="); n > 0 {
		b.WriteString(" pad=")
		for i := range n {
			b.WriteByte("abcdefghijklmnopqrstuvwxyz0123456789-"[i%37])
		}
	}
	orders := strings.TrimPrefix(b.String(), " ")
	if orders == "" {
		orders = "-" // the guest's sum covers what is between two blanks
	}
	return fmt.Sprintf("check=0x%08x %s check-end", Sum([]byte(orders)), orders)
}

// Sum is the guest's checksum of b, over little-endian words of 4 bytes with the last one filled up with zeros.
func Sum(b []byte) uint32 {
	v := uint32(len(b))
	for len(b) > 0 {
		var word [4]byte
		b = b[copy(word[:], b):]
		v = bits.RotateLeft32(v, 5) + binary.LittleEndian.Uint32(word[:])
	}
	return v
}

// Spew returns the n bytes that Options.Spew writes: lines of 8 bytes, each its number in hexadecimal and a newline.
func Spew(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%07x\n", i&0xfffffff)
	}
	return b[:n]
}
