// Package native runs single instructions of user mode on the host's own processor, on the
// registers of a Context. The interpreter leaves SSE and x87 to it, and tests compare it with the
// interpreter.
//
// The instructions are the caller's responsibility: none that leaves its code, changes RSP, or
// reads or writes memory that is not there.
package native

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Context has the registers: what an instruction finds and leaves.
type Context struct {
	FX      [512]byte // as FXSAVE64 has them; first, for its alignment of 16 bytes
	GPR     [16]uint64
	Scratch [128]byte // for memory operands, OffsetScratch from the Context, aligned as they want it
	Flags   uint64    // RFLAGS, of which an instruction finds the status flags and DF
	mxcsr   uint32    // the host's
	_       [4]byte   // to a multiple of 16
}

// Offsets in a Context.
const (
	offsetGPR = 512
	// OffsetScratch is where Scratch is.
	OffsetScratch = offsetGPR + 16*8
	offsetFlags   = OffsetScratch + 128
	offsetMXCSR   = offsetFlags + 8
)

// userFlags are those of Flags that an instruction finds: the status flags and DF.
const userFlags = 0xCD5

// NewContext makes one with the registers of a reset, in memory that FXSAVE takes.
func NewContext() *Context {
	b := make([]byte, unsafe.Sizeof(Context{})+16)
	c := (*Context)(unsafe.Pointer(&b[-uintptr(unsafe.Pointer(&b[0]))&15]))
	c.Reset()
	return c
}

// Reset makes the registers those of a reset.
func (c *Context) Reset() {
	*c = Context{}
	binary.LittleEndian.PutUint16(c.FX[0:], 0x37F) // FCW
	binary.LittleEndian.PutUint32(c.FX[24:], defaultMXCSR)
}

// defaultMXCSR masks all exceptions, and rounds to nearest.
const defaultMXCSR = 0x1F80

func call(code uintptr, c *Context)

// Code is memory for instructions: written at one address, executed at another (W^X).
type Code struct {
	mu   sync.Mutex
	w, x []byte
	used int
}

// ErrNoExecution is wrapped by errors of hosts that allow no executable memory.
var ErrNoExecution = errors.New("this host allows this process no executable memory")

// NewCode makes one of size bytes, whole pages.
func NewCode(size int) (*Code, error) {
	fd, err := unix.MemfdCreate("mayfly-code", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, os.NewSyscallError("ftruncate", err)
	}
	c := &Code{used: reserved}
	if c.w, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	if c.x, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_SHARED); err != nil {
		_ = unix.Munmap(c.w)
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("%w: %w", ErrNoExecution, err)
		}
		return nil, os.NewSyscallError("mmap", err)
	}
	return c, nil
}

// Close gives the memory back. Nothing runs in it.
func (c *Code) Close() error { return errors.Join(unix.Munmap(c.w), unix.Munmap(c.x)) }

// reserved are the first bytes, which stay unused, so that no instruction is at 0.
const reserved = 16

// Reset makes all of the memory free again.
func (c *Code) Reset() { c.used = reserved }

// Part is the ith part of size bytes, for one thread. It is empty, and closed with the whole.
func (c *Code) Part(i, size int) *Code {
	return &Code{w: c.w[i*size : (i+1)*size], x: c.x[i*size : (i+1)*size], used: reserved}
}

// Thunk is an instruction that can be run.
type Thunk struct{ at uintptr }

// ErrFull is the error of an Add for which there is no room; see Reset.
var ErrFull = errors.New("native: no room for another instruction")

// Add makes a Thunk of an instruction. RBX is the Context's address where useRBX is false,
// for a memory operand in Scratch; else it is the Context's RBX like any other register.
func (c *Code) Add(instruction []byte, useRBX bool) (Thunk, error) {
	at, err := c.put(thunk(instruction, useRBX))
	if err != nil {
		return Thunk{}, err
	}
	return c.At(at), nil
}

// put appends code, and returns where it is.
func (c *Code) put(b []byte) (at uint32, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used+len(b) > len(c.w) {
		return 0, ErrFull
	}
	at = uint32(c.used)
	copy(c.w[at:], b)
	c.used += (len(b) + 15) &^ 15
	return at, nil
}

// At is what AddXMM has added.
func (c *Code) At(at uint32) Thunk { return Thunk{uintptr(unsafe.Pointer(&c.x[at]))} }

// Run runs it on a Context.
func (t Thunk) Run(c *Context) {
	c.Flags = c.Flags&userFlags | 2
	c.mxcsr = defaultMXCSR
	call(t.at, c)
}

const rbx, rsp = 3, 4

// thunk is the code around an instruction: registers from the Context, and back.
func thunk(instruction []byte, useRBX bool) []byte {
	b := []byte{
		0x53,                   // push rbx
		0x48, 0x0F, 0xAE, 0x0B, // fxrstor64 [rbx]
		0xFF, 0xB3, 0, 0, 0, 0, // push qword [rbx+flags]
		0x9D, // popfq
	}
	binary.LittleEndian.PutUint32(b[7:], offsetFlags)
	for r := range byte(16) {
		if r != rbx && r != rsp {
			b = move(b, 0x8B, r)
		}
	}
	if useRBX {
		b = move(b, 0x8B, rbx) // the last
	}
	b = append(b, instruction...)
	b = append(b, 0x48, 0x87, 0x1C, 0x24) // xchg rbx, [rsp]
	for r := range byte(16) {
		if r != rbx && r != rsp {
			b = move(b, 0x89, r)
		}
	}
	b = append(b, 0x9C, 0x8F, 0x83) // pushfq; pop qword [rbx+flags]
	b = binary.LittleEndian.AppendUint32(b, offsetFlags)
	if useRBX {
		b = append(b, 0x48, 0x8B, 0x04, 0x24) // mov rax, [rsp]
		b = append(b, 0x48, 0x89, 0x83)       // mov [rbx+gpr of rbx], rax
		b = binary.LittleEndian.AppendUint32(b, offsetGPR+8*rbx)
	}
	b = append(b,
		0x48, 0x0F, 0xAE, 0x03, // fxsave64 [rbx]
		0x0F, 0xAE, 0x93) // ldmxcsr [rbx+mxcsr]
	b = binary.LittleEndian.AppendUint32(b, offsetMXCSR)
	return append(b,
		0x58,                         // pop rax
		0x68, 0x02, 0x02, 0x00, 0x00, // push 0x202
		0x9D, // popfq
		0xC3)
}

// move is a move between a register and its place in the Context: opcode 8B loads, 89 stores.
func move(b []byte, opcode, r byte) []byte {
	b = append(b, 0x48|r>>3<<2, opcode, 0x83|r&7<<3)
	return binary.LittleEndian.AppendUint32(b, offsetGPR+8*uint32(r))
}
