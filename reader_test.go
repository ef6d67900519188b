package mayfly_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/kvm"
)

// Where the reading guest's code and data lie, in memory and in its file.
const (
	readerCode     = 0x100000
	readerData     = 0x400000
	readerDataFile = 0x200000
	readerDataSize = 8 << 20
)

// readerGuest is a PVH kernel that writes a dot, waits for a key and adds up the
// first word of each page of its data segment or, with module, of its first
// module. It writes the sum as four bytes and powers off.
func readerGuest(data []byte, module bool) []byte {
	le := binary.LittleEndian
	code := []byte{
		0x66, 0xBA, 0xF8, 0x03, // mov $0x3f8,%dx
		0xB0, '.', // mov $'.',%al
		0xEE,                   // out %al,%dx
		0x66, 0xBA, 0xFD, 0x03, // mov $0x3fd,%dx: LSR
		0xEC,       // in %dx,%al
		0xA8, 0x01, // test $1,%al
		0x74, 0xFB, // jz to the in
	}
	if module {
		code = append(code,
			0x8B, 0x7B, 0x10, // mov 16(%ebx),%edi: the module list
			0x8B, 0x37, // mov (%edi),%esi: its address
			0x8B, 0x4F, 0x08, // mov 8(%edi),%ecx: its size
			0xC1, 0xE9, 0x0C) // shr $12,%ecx
	} else {
		code = le.AppendUint32(append(code, 0xBE), readerData)         // mov $data,%esi
		code = le.AppendUint32(append(code, 0xB9), readerDataSize>>12) // mov $pages,%ecx
	}
	code = append(code,
		0x31, 0xC0, // xor %eax,%eax
		0x03, 0x06, // add (%esi),%eax
		0x81, 0xC6, 0x00, 0x10, 0x00, 0x00, // add $0x1000,%esi
		0x49,       // dec %ecx
		0x75, 0xF5, // jnz to the add
		0x66, 0xBA, 0xF8, 0x03) // mov $0x3f8,%dx
	for range 4 {
		code = append(code, 0xEE, 0xC1, 0xE8, 0x08) // out %al,%dx; shr $8,%eax
	}
	code = append(code,
		0x66, 0xBA, 0x00, 0x06, // mov $0x600,%dx: sleep control
		0xB0, 0x34, // mov $(SLP_EN | S5),%al
		0xEE,             // out %al,%dx
		0xF4, 0xEB, 0xFD) // hlt; jmp to it

	return pvhGuest(code, data)
}

// spewGuest is a PVH kernel that writes data to COM1 by one string instruction,
// without asking whether there is room, and powers off.
func spewGuest(data []byte) []byte {
	le := binary.LittleEndian
	code := le.AppendUint32([]byte{0xBE}, readerData)             // mov $data,%esi
	code = le.AppendUint32(append(code, 0xB9), uint32(len(data))) // mov $len,%ecx
	code = append(code,
		0x66, 0xBA, 0xF8, 0x03, // mov $0x3f8,%dx
		0xF3, 0x6E, // rep outsb
		0x66, 0xBA, 0x00, 0x06, 0xB0, 0x34, 0xEE, // power off
		0xF4, 0xEB, 0xFD) // hlt; jmp to it
	return pvhGuest(code, data)
}

// pvhGuest is an ELF file with a PVH entry, code and data.
func pvhGuest(code, data []byte) []byte {
	le := binary.LittleEndian
	const noteAt, codeAt = 0x200, 0x1000
	f := make([]byte, readerDataFile, readerDataFile+len(data))
	copy(f, "\x7fELF\x02\x01\x01")
	for off, v := range map[int]uint64{24: readerCode, 32: 64} { // e_entry, e_phoff
		le.PutUint64(f[off:], v)
	}
	for off, v := range map[int]uint16{16: 2, 18: 62, 20: 1, 52: 64, 54: 56, 56: 3} { // ET_EXEC, x86-64, sizes, 3 segments
		le.PutUint16(f[off:], v)
	}
	for i, s := range [][7]uint64{ // type and flags, offset, vaddr, paddr, filesz, memsz, align
		{1 | 5<<32, codeAt, readerCode, readerCode, uint64(len(code)), uint64(len(code)), 0x1000},
		{1 | 4<<32, readerDataFile, readerData, readerData, uint64(len(data)), uint64(len(data)), 0x1000},
		{4 | 4<<32, noteAt, 0, 0, 24, 24, 4},
	} {
		for j, v := range s {
			le.PutUint64(f[64+56*i+8*j:], v)
		}
	}
	copy(f[noteAt:], "\x04\x00\x00\x00\x08\x00\x00\x00\x12\x00\x00\x00Xen\x00")
	le.PutUint64(f[noteAt+16:], readerCode)
	copy(f[codeAt:], code)
	return append(f, data...)
}

// noise is n bytes in which every page differs, and what a reading guest says of
// them.
func noise(n int) (data, sum []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	data = make([]byte, n)
	total := uint32(0)
	for i := 0; i+4096 <= n; i += 4096 {
		v := r.Uint32()
		binary.LittleEndian.PutUint32(data[i:], v)
		total += v
	}
	return data, binary.LittleEndian.AppendUint32([]byte("."), total)
}

var loads = []mayfly.Load{mayfly.LoadAuto, mayfly.LoadMap, mayfly.LoadCopy}

// reading starts a reading guest over 8 MiB that lie in the kernel's file or, if
// several, in initrds of their own.
func reading(t *testing.T, load mayfly.Load, parts int) (c mayfly.Config, path string, want []byte) {
	data, want := noise(readerDataSize)
	c = mayfly.Config{Load: load, OnReboot: mayfly.RebootExit}
	if parts == 0 {
		c.Kernel = file(t, "kernel", readerGuest(data, false))
		return c, c.Kernel, want
	}
	c.Kernel = file(t, "kernel", readerGuest(make([]byte, readerDataSize), true))
	for i := range parts {
		n := len(data) / parts
		path = file(t, fmt.Sprintf("initrd%d", i), data[i*n:(i+1)*n])
		c.Initrd = append(c.Initrd, path)
	}
	return c, path, want
}

func TestFilesArriveWhole(t *testing.T) {
	for _, load := range loads {
		for _, parts := range []int{0, 1, 2, 16} {
			t.Run(fmt.Sprintf("%v, %d initrds", load, parts), func(t *testing.T) {
				leavesNothing(t)
				c, _, want := reading(t, load, parts)
				vm := start(t, c)
				vm.press(" ")
				vm.want(mayfly.PowerOff)
				if got := vm.output.String(); got != string(want) {
					t.Errorf("the guest read the sum %x, want %x", got, want)
				}
			})
		}
	}
}

// canPrefault tells whether this host's KVM fills nested page tables on request.
func canPrefault(t *testing.T) bool {
	sys, err := kvm.Open(kvm.DefaultPath)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	n, err := sys.CheckExtension(kvm.CapPreFaultMemory)
	return err == nil && n != 0
}

// A file that is cut short under a running machine ends that machine with a
// clear message where it is mapped, and does nothing where it was copied.
func TestTruncatedFile(t *testing.T) {
	for _, load := range loads {
		for _, parts := range []int{0, 1} {
			t.Run(fmt.Sprintf("%v, %d initrds", load, parts), func(t *testing.T) {
				leavesNothing(t)
				c, path, want := reading(t, load, parts)
				vm := start(t, c)
				vm.await(".", 1)
				if err := os.Truncate(path, 3<<20); err != nil {
					t.Fatal(err)
				}
				vm.press(" ")
				if load == mayfly.LoadCopy {
					if o := vm.want(mayfly.PowerOff); vm.output.String() != string(want) {
						t.Errorf("a copy changed with its file: %q, want %q; %q", vm.output.String(), want, o.Detail)
					}
					return
				}
				// Where the host cannot prefault, auto copies the kernel while the guest
				// runs: in time for this guest, or not.
				o := vm.end()
				if load == mayfly.LoadAuto && parts == 0 && !canPrefault(t) && o.Reason == mayfly.PowerOff {
					if vm.output.String() != string(want) {
						t.Errorf("a copy changed with its file: %q, want %q; %q", vm.output.String(), want, o.Detail)
					}
					return
				}
				if o.Reason != mayfly.ImageChanged {
					t.Errorf("the machine ended as %v, want %v", o.Reason, mayfly.ImageChanged)
				}
				for _, word := range []string{path, "truncated from ", "to 3145728 bytes", "load by copying"} {
					if !strings.Contains(o.Detail, word) {
						t.Errorf("the detail lacks %q: %s", word, o.Detail)
					}
				}
			})
		}
	}
}

// Between New and Start, or between two starts, the loader itself meets the end.
func TestTruncatedFileAtTheStart(t *testing.T) {
	for _, load := range loads {
		t.Run(fmt.Sprint(load), func(t *testing.T) {
			leavesNothing(t)
			machinetest.NeedKVM(t)
			c, path, _ := reading(t, load, 0)
			out := new(machinetest.Output)
			c.Console = mayfly.Console{In: bytes.NewReader([]byte(" ")), Out: out}
			vm, err := mayfly.New(c)
			if err != nil {
				t.Fatal(err)
			}
			defer vm.Close()
			if err := os.Truncate(path, 3<<20); err != nil {
				t.Fatal(err)
			}
			if err := vm.Start(t.Context()); err != nil {
				if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "truncated") {
					t.Errorf("the error names no cause: %v", err)
				}
				return
			}
			o, err := vm.Wait(t.Context())
			if err != nil || o.Reason != mayfly.ImageChanged {
				t.Errorf("ended as %v, %q (%v)", o.Reason, o.Detail, err)
			}
		})
	}
}

// Which pages of the host are the RAM does not matter to the guest.
func TestPreallocAndHugePages(t *testing.T) {
	t.Run("prealloc", func(t *testing.T) {
		leavesNothing(t)
		c, _, want := reading(t, mayfly.LoadAuto, 1)
		c.Prealloc, c.Memory = true, 64<<20
		vm := start(t, c)
		vm.press(" ")
		vm.want(mayfly.PowerOff)
		if vm.output.String() != string(want) {
			t.Error("another sum")
		}
	})
	const pool = "/proc/sys/vm/nr_hugepages"
	before, err := os.ReadFile(pool)
	if err != nil || strings.TrimSpace(string(before)) != "0" {
		t.Skipf("the pool of huge pages is not empty, or not there: %q, %v", before, err)
	}
	t.Run("no huge pages", func(t *testing.T) {
		leavesNothing(t)
		machinetest.NeedKVM(t)
		c, _, _ := reading(t, mayfly.LoadAuto, 0)
		c.HugePages = true
		vm, err := mayfly.New(c)
		if err == nil {
			vm.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "256 MiB of huge pages") || !strings.Contains(err.Error(), "vm.nr_hugepages") {
			t.Errorf("New with an empty pool: %v", err)
		}
	})
	t.Run("huge pages", func(t *testing.T) {
		if err := os.WriteFile(pool, []byte("40"), 0); err != nil {
			t.Skipf("the pool cannot be filled: %v", err)
		}
		defer os.WriteFile(pool, before, 0)
		if now, _ := os.ReadFile(pool); strings.TrimSpace(string(now)) != "40" {
			t.Skipf("the host gave %s of 40 huge pages", now)
		}
		leavesNothing(t)
		for _, prealloc := range []bool{false, true} {
			c, _, want := reading(t, mayfly.LoadAuto, 1)
			c.HugePages, c.Prealloc, c.Memory = true, prealloc, 64<<20
			vm := start(t, c)
			vm.press(" ")
			vm.want(mayfly.PowerOff)
			if vm.output.String() != string(want) {
				t.Error("another sum")
			}
			vm.Close()
		}
	})
}

func TestPlansNeedNoKVM(t *testing.T) {
	leavesNothing(t)
	c, _, _ := reading(t, mayfly.LoadAuto, 2)
	c.KVM = "/nowhere"
	p, err := mayfly.NewPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	if p.Entry != readerCode || p.Initrd.Size != readerDataSize || uint64(p.Initrd.Addr)+p.Initrd.Size != mayfly.DefaultMemory {
		t.Errorf("plan %+v", p)
	}
	c.Memory = mayfly.MinMemory // 12 MiB of kernel, 8 of initrd
	if _, err := mayfly.NewPlan(c); err == nil || !strings.Contains(err.Error(), "more memory") {
		t.Errorf("a plan for too little memory: %v", err)
	}
	c.Kernel = "/nowhere/vmlinux"
	if _, err := mayfly.NewPlan(c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a plan without a kernel: %v", err)
	}
}
