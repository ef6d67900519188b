package soft_test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/guest/privileged"
)

// gdbstub is a connection to QEMU's, which controls its processor. Source: the GDB manual, appendix E, GDB Remote Serial
// Protocol.
type gdbstub struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

// startStopped starts QEMU with all cases, stopped at its first instruction. It is ended with the test.
func startStopped(t *testing.T, g *privileged.Guest) *gdbstub {
	t.Helper()
	dir, args := qemuCommand(t, g)
	at := filepath.Join(dir, "gdb")
	cmd := exec.Command(args[0], append(args[1:], "-S", "-gdb", "unix:"+at+",server=on,wait=off")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) { // it notifies nobody of the socket
		c, err := net.Dial("unix", at)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return &gdbstub{t, c, bufio.NewReader(c)}
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// ask sends a packet and returns the answer to it.
func (s *gdbstub) ask(packet string) string {
	s.t.Helper()
	sum := byte(0)
	for i := range len(packet) {
		sum += packet[i]
	}
	_ = s.c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(s.c, "$%s#%02x", packet, sum); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.r.ReadString('$'); err != nil {
		s.t.Fatalf("%s: %v", packet, err)
	}
	answer, err := s.r.ReadString('#')
	if err == nil {
		_, err = s.r.Discard(2)
	}
	if err == nil {
		_, err = s.c.Write([]byte("+"))
	}
	if err != nil {
		s.t.Fatalf("%s: %v", packet, err)
	}
	return answer[:len(answer)-1]
}

// must is ask for what is to be answered with OK.
func (s *gdbstub) must(packet string) {
	s.t.Helper()
	if answer := s.ask(packet); answer != "OK" {
		s.t.Fatalf("%s: %q", packet, answer)
	}
}

// bytes is ask for what is answered with bytes.
func (s *gdbstub) bytes(packet string) []byte {
	s.t.Helper()
	answer := s.ask(packet)
	b, err := hex.DecodeString(answer)
	if err != nil {
		s.t.Fatalf("%s: %q", packet, answer)
	}
	return b
}

// number is a quadword of memory.
func (s *gdbstub) number(addr uint64) uint64 {
	s.t.Helper()
	return binary.LittleEndian.Uint64(s.bytes(fmt.Sprintf("m%x,8", addr)))
}

// registers are those of a processor that are compared after each instruction: general ones in the order of their
// numbers, RIP, RFLAGS, selectors of CS, SS, DS, ES, FS and GS, and of the system where the code has 64 bits.
type registers struct {
	general     [16]uint64
	rip, rflags uint64
	selectors   [6]uint32
	system      [6]uint64 // bases of FS and GS, CR0, CR2, CR3, CR4
	long        bool      // the code has 64 bits; only of the software processor
}

// registers reads them.
func (s *gdbstub) registers() (r registers) {
	s.t.Helper()
	b := s.bytes("g")
	le := binary.LittleEndian
	for i, n := range []int{0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15} { // of 'g': rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp
		r.general[n] = le.Uint64(b[8*i:])
	}
	r.rip, r.rflags = le.Uint64(b[128:]), uint64(le.Uint32(b[136:]))
	for i := range r.selectors {
		r.selectors[i] = le.Uint32(b[140+4*i:])
	}
	for i, n := range []int{0, 1, 3, 4, 5, 6} {
		r.system[i] = le.Uint64(b[164+8*n:])
	}
	return r
}
