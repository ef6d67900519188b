package soft

import (
	"errors"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/native"
)

// sandbox is memory of two pages below 2 GiB, and a copy for the interpreter, which finds it
// at the same address.
type sandbox struct {
	addr      uint64
	real, own []byte
}

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	b, err := unix.Mmap(-1, 0, 2*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_32BIT)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	return &sandbox{addr: uint64(uintptr(unsafe.Pointer(&b[0]))), real: b, own: make([]byte, len(b))}
}

func (s *sandbox) Page(addr uint64) (*[pageSize]byte, bool) {
	if addr < s.addr || addr >= s.addr+uint64(len(s.own)) {
		return nil, false
	}
	return (*[pageSize]byte)(s.own[addr-s.addr:]), true
}

// newCPU64 makes a processor in 64-bit mode, with flat segments and without paging: for the
// instructions of user mode.
func newCPU64(t testing.TB, m RAM) *CPU {
	t.Helper()
	store, err := newCodeStore()
	if err != nil {
		t.Fatal(err)
	}
	c := newCPU(m, newCodeMap(1<<32, new(world)), store)
	t.Cleanup(func() { _ = c.code.close() })
	c.code.shared.world.cpus = []*CPU{c}
	c.attend.Store(false)
	c.mode = decode.Mode64
	for s := range c.segments {
		c.setBase(decode.Seg(s))
	}
	c.setKey()
	c.SetFlags(0)
	return c
}

// stepOnce executes the instruction at RIP, of which code has the bytes. Where it raises an
// exception, ok is false, RIP stays, and the registers are as if it had not begun.
func (c *CPU) stepOnce(code []byte) (f Fault, ok bool) {
	in, err := decode.Decode(code, c.mode)
	if err != nil {
		return faultOf(err), false
	}
	u := newUop(in, c.mode)
	switch u.do(c, &u) {
	case next:
		c.RIP += uint64(in.Len)
	case faulted:
		return c.fault, false
	}
	return Fault{}, true
}

// hostCode is memory for instructions that the host's processor executes. The test is skipped on a host that allows none.
func hostCode(t testing.TB) *native.Code {
	t.Helper()
	code, err := native.NewCode(codeBytes)
	if errors.Is(err, native.ErrNoExecution) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = code.Close() })
	return code
}
