package linuxboot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/mayfly-vm/mayfly/linuxboot"
	"github.com/mayfly-vm/mayfly/pvh"
)

var le = binary.LittleEndian

func machine() *pvh.StartInfo {
	return &pvh.StartInfo{
		Version: 1, Cmdline: 0x20000, RSDP: 0xE0000,
		Modules: []pvh.Module{{Addr: 0x1_2345_6000, Size: 0x2_0000_0011}, {Addr: 1, Size: 1}},
		MemMap: []pvh.MemMapEntry{
			{Addr: 0, Size: 0x9FC00, Type: pvh.RAM},
			{Addr: 0x100000, Size: 0xFF00000, Type: pvh.RAM},
			{Addr: 0x1_0000_0000, Size: 1 << 30, Type: pvh.PMEM},
		},
	}
}

// header is a setup header as in a bzImage, from 0x1f1 on, of size bytes.
func header(size int) []byte {
	h := bytes.Repeat([]byte{0xA5}, size)
	h[0x200-0x1f1], h[0x201-0x1f1] = 0xEB, byte(size-(0x202-0x1f1))
	copy(h[0x202-0x1f1:], "HdrS")
	le.PutUint16(h[0x206-0x1f1:], 0x020f)
	return h
}

func TestBootParams(t *testing.T) {
	p, err := linuxboot.BootParams(machine(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(p) != 4096 {
		t.Fatalf("%d bytes", len(p))
	}
	for _, f := range []struct {
		name      string
		off, size int
		want      uint64
	}{
		{"acpi_rsdp_addr", 0x070, 8, 0xE0000},
		{"ext_ramdisk_image", 0x0c0, 4, 1},
		{"ext_ramdisk_size", 0x0c4, 4, 2},
		{"ext_cmd_line_ptr", 0x0c8, 4, 0},
		{"e820_entries", 0x1e8, 1, 4},
		{"sentinel", 0x1ef, 1, 0},
		{"boot_flag", 0x1fe, 2, 0xAA55},
		{"header", 0x202, 4, 0x53726448},
		{"version", 0x206, 2, 0x020c},
		{"type_of_loader", 0x210, 1, 0xFF},
		{"loadflags", 0x211, 1, 1},
		{"ramdisk_image", 0x218, 4, 0x23456000},
		{"ramdisk_size", 0x21c, 4, 0x11},
		{"cmd_line_ptr", 0x228, 4, 0x20000},
		{"setup_data", 0x250, 8, 0},
		{"first address", 0x2d0, 8, 0},
		{"first size", 0x2d8, 8, 0x9FC00},
		{"first type", 0x2e0, 4, 1},
		{"third address", 0x2d0 + 40, 8, 1 << 32},
		{"third type", 0x2d0 + 56, 4, 7},
		{"ISA address", 0x2d0 + 60, 8, 0xA0000},
		{"ISA size", 0x2d0 + 68, 8, 0x60000},
		{"ISA type", 0x2d0 + 76, 4, 2},
		{"after the table", 0x2d0 + 80, 8, 0},
	} {
		var b [8]byte
		copy(b[:], p[f.off:f.off+f.size])
		if got := le.Uint64(b[:]); got != f.want {
			t.Errorf("%s at %#x: %#x, want %#x", f.name, f.off, got, f.want)
		}
	}
}

func TestBootParamsKeepsSetupHeader(t *testing.T) {
	h := header(0x7b)
	p, err := linuxboot.BootParams(machine(), append(h, 0xEE, 0xEE))
	if err != nil {
		t.Fatal(err)
	}
	// kernel_alignment to cmdline_size are the kernel's own business.
	if !bytes.Equal(p[0x230:0x23c], h[0x230-0x1f1:0x23c-0x1f1]) {
		t.Errorf("header % x, want % x", p[0x230:0x23c], h[0x230-0x1f1:0x23c-0x1f1])
	}
	if v := le.Uint16(p[0x206:]); v != 0x020f {
		t.Errorf("version %#x", v)
	}
	if p[0x210] != 0xFF || p[0x211] != 0xA5&^0x82|1 || le.Uint16(p[0x224:]) != 0 || le.Uint64(p[0x250:]) != 0 {
		t.Errorf("loader %#x, flags %#x, heap %#x, setup_data %#x", p[0x210], p[0x211], p[0x224:0x226], p[0x250:0x258])
	}
	if !bytes.Equal(p[0x1f1+0x7b:0x290], make([]byte, 0x290-0x1f1-0x7b)) {
		t.Error("bytes after the header's end were taken")
	}
	if p[0x1ef] != 0 {
		t.Error("sentinel is set")
	}
}

func TestBootParamsRefuses(t *testing.T) {
	noMagic := header(0x7b)
	noMagic[0x202-0x1f1] = 0
	tooLong := header(0x7b)
	tooLong[0x201-0x1f1] = 0x8f
	for _, tt := range []struct {
		name string
		edit func(*pvh.StartInfo)
		hdr  []byte
		want error
	}{
		{name: "no map", edit: func(si *pvh.StartInfo) { si.MemMap = nil }, want: linuxboot.ErrNoMemoryMap},
		{name: "overlap", edit: func(si *pvh.StartInfo) { si.MemMap[1].Addr = 1 }, want: pvh.ErrOverlap},
		{name: "too many entries", edit: func(si *pvh.StartInfo) { si.MemMap = make([]pvh.MemMapEntry, 127) }, want: pvh.ErrTooManyEntries},
		{name: "initrd wraps around", edit: func(si *pvh.StartInfo) { si.Modules[0].Size = ^uint64(0) }, want: pvh.ErrOutOfRange},
		{name: "short header", hdr: []byte{1}, want: linuxboot.ErrBadHeader},
		{name: "header without magic", hdr: noMagic, want: linuxboot.ErrBadHeader},
		{name: "header into the next field", hdr: tooLong, want: linuxboot.ErrBadHeader},
		{name: "header cut off", hdr: header(0x7b)[:0x7a], want: linuxboot.ErrBadHeader},
	} {
		t.Run(tt.name, func(t *testing.T) {
			si := machine()
			if tt.edit != nil {
				tt.edit(si)
			}
			if _, err := linuxboot.BootParams(si, tt.hdr); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestBootParamsHasRoomForTheLongestMap(t *testing.T) {
	si := machine()
	si.MemMap = nil
	for i := range uint64(pvh.MaxEntries) {
		si.MemMap = append(si.MemMap, pvh.MemMapEntry{Addr: i << 20, Size: 4096, Type: pvh.RAM})
	}
	p, err := linuxboot.BootParams(si, nil)
	if err != nil || p[0x1e8] != 127 {
		t.Fatalf("error %v", err)
	}
	if a := le.Uint64(p[0x2d0+126*20:]); a != 0xA0000 {
		t.Errorf("last entry at %#x", a)
	}
}

func FuzzBootParamsHeader(f *testing.F) {
	f.Add(header(0x7b))
	f.Add(header(0x20))
	f.Fuzz(func(t *testing.T, hdr []byte) {
		p, err := linuxboot.BootParams(machine(), hdr)
		if err == nil && (len(p) != 4096 || p[0x1ef] != 0 || le.Uint64(p[0x250:]) != 0 || p[0x1e8] != 4) {
			t.Error("the header spoilt the zero page")
		}
	})
}
