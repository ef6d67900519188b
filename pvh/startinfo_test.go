package pvh_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly/pvh"
)

// guest is a guest memory that has bytes only where a test put them.
type guest map[uint64][]byte

func (g guest) ReadAt(p []byte, off int64) (int, error) {
	for base, b := range g {
		if uint64(off) >= base && uint64(off) < base+uint64(len(b)) {
			if n := copy(p, b[uint64(off)-base:]); n < len(p) {
				return n, io.EOF
			}
			return len(p), nil
		}
	}
	return 0, io.EOF
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStartInfoBytes(t *testing.T) {
	for _, tt := range []struct {
		name         string
		si           pvh.StartInfo
		info, memMap string
	}{
		{
			name: "version 0, empty",
			info: `78c56e33 00000000 00000000 00000000
				0000000000000000 0000000000000000 0000000000000000`,
		},
		{
			name: "version 0, module",
			si:   pvh.StartInfo{Modules: []pvh.Module{{Addr: 0x1122334455 >> 8, Size: 0x66, Cmdline: 0x77}}, Flags: 1},
			info: `78c56e33 00000000 01000000 01000000
				4060000000000000 0000000000000000 0000000000000000
				0000000000000000 0000000000000000 0000000000000000
				4433221100000000 6600000000000000 7700000000000000 0000000000000000`,
		},
		{
			name: "version 1, all",
			si: pvh.StartInfo{
				Version: 1, Cmdline: 0x20000, RSDP: 0xE0000,
				Modules: []pvh.Module{{Addr: 0x1000, Size: 0x2000}, {Addr: 0x4000, Size: 1}},
				MemMap: []pvh.MemMapEntry{
					{Addr: 0, Size: 0x9FC00, Type: pvh.RAM},
					{Addr: 0xE0000, Size: 0x20000, Type: pvh.Reserved},
					{Addr: 0x1_0000_0000, Size: 0x4000_0000, Type: pvh.RAM},
				},
			},
			info: `78c56e33 01000000 00000000 02000000
				4060000000000000 0000020000000000 00000e0000000000
				0070000000000000 03000000 00000000
				0000000000000000
				0010000000000000 0020000000000000 0000000000000000 0000000000000000
				0040000000000000 0100000000000000 0000000000000000 0000000000000000`,
			memMap: `0000000000000000 00fc090000000000 01000000 00000000
				00000e0000000000 0000020000000000 02000000 00000000
				0000000001000000 0000004000000000 01000000 00000000`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := pvh.Layout{Info: 0x6000, MemMap: 0x7000}
			info, memMap, err := tt.si.Encode(at)
			if err != nil {
				t.Fatal(err)
			}
			if want := unhex(t, tt.info); !bytes.Equal(info, want) {
				t.Errorf("start info:\n%xwant\n%x", info, want)
			}
			if want := unhex(t, tt.memMap); !bytes.Equal(memMap, want) {
				t.Errorf("memory map:\n%x want\n%x", memMap, want)
			}
			got, err := pvh.ParseStartInfo(guest{at.Info: info, at.MemMap: memMap}, at.Info)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&tt.si, got); d != "" {
				t.Errorf("parsed back (-want +got):\n%s", d)
			}
		})
	}
}

func TestEncodeLimits(t *testing.T) {
	good := pvh.Layout{Info: 0x6000, MemMap: 0x7000}
	entries := make([]pvh.MemMapEntry, pvh.MaxEntries+1)
	for i := range entries {
		entries[i] = pvh.MemMapEntry{Addr: uint64(i) << 12, Size: 16, Type: pvh.RAM}
	}
	ram := func(addr, size uint64) pvh.MemMapEntry {
		return pvh.MemMapEntry{Addr: addr, Size: size, Type: pvh.RAM}
	}
	for _, tt := range []struct {
		name string
		si   pvh.StartInfo
		at   pvh.Layout
		want error
	}{
		{"as many entries as go", pvh.StartInfo{Version: 1, MemMap: entries[:pvh.MaxEntries]}, good, nil},
		{"one entry more", pvh.StartInfo{Version: 1, MemMap: entries}, good, pvh.ErrTooManyEntries},
		{"as many modules as go", pvh.StartInfo{Modules: make([]pvh.Module, pvh.MaxModules)}, good, nil},
		{"one module more", pvh.StartInfo{Modules: make([]pvh.Module, pvh.MaxModules+1)}, good, pvh.ErrTooManyModules},
		{"version 2", pvh.StartInfo{Version: 2}, good, pvh.ErrVersion},
		{"map in version 0", pvh.StartInfo{MemMap: entries[:1]}, good, pvh.ErrVersion},
		{"info ends at 1 GiB", pvh.StartInfo{Version: 1}, pvh.Layout{Info: 1<<30 - pvh.HeaderSize}, nil},
		{"info ends above 1 GiB", pvh.StartInfo{Version: 1}, pvh.Layout{Info: 1<<30 - pvh.HeaderSize + 1}, pvh.ErrOutOfRange},
		{"module list ends above 1 GiB", pvh.StartInfo{Modules: make([]pvh.Module, 2)}, pvh.Layout{Info: 1<<30 - 64 - 32}, pvh.ErrOutOfRange},
		{"map ends above 1 GiB", pvh.StartInfo{Version: 1, MemMap: entries[:2]}, pvh.Layout{Info: 0x6000, MemMap: 1<<30 - 24}, pvh.ErrOutOfRange},
		{"command line below 4 GiB", pvh.StartInfo{Cmdline: 1<<32 - 1}, good, nil},
		{"command line at 4 GiB", pvh.StartInfo{Cmdline: 1 << 32}, good, pvh.ErrOutOfRange},
		{"module ends at 4 GiB", pvh.StartInfo{Modules: []pvh.Module{{Addr: 1<<32 - 8, Size: 8}}}, good, nil},
		{"module ends above 4 GiB", pvh.StartInfo{Modules: []pvh.Module{{Addr: 1<<32 - 8, Size: 9}}}, good, pvh.ErrOutOfRange},
		{"module wraps around", pvh.StartInfo{Modules: []pvh.Module{{Addr: 1 << 31, Size: ^uint64(0)}}}, good, pvh.ErrOutOfRange},
		{"command line of a module", pvh.StartInfo{Modules: []pvh.Module{{Cmdline: 1 << 32}}}, good, pvh.ErrOutOfRange},
		{"overlap", pvh.StartInfo{Version: 1, MemMap: []pvh.MemMapEntry{ram(0, 17), ram(16, 1)}}, good, pvh.ErrOverlap},
		{"unsorted", pvh.StartInfo{Version: 1, MemMap: []pvh.MemMapEntry{ram(16, 1), ram(0, 1)}}, good, pvh.ErrUnsorted},
		{"empty entry", pvh.StartInfo{Version: 1, MemMap: []pvh.MemMapEntry{ram(16, 0)}}, good, pvh.ErrOutOfRange},
		{"entry wraps around", pvh.StartInfo{Version: 1, MemMap: []pvh.MemMapEntry{ram(16, ^uint64(0))}}, good, pvh.ErrOutOfRange},
		{"entry of type 0", pvh.StartInfo{Version: 1, MemMap: []pvh.MemMapEntry{{Addr: 0, Size: 1}}}, good, pvh.ErrBadType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := tt.si.Encode(tt.at); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestParseStartInfoRefuses(t *testing.T) {
	const addr = 0x6000
	header := func(h pvh.Header) []byte { return h.AppendTo(nil) }
	for _, tt := range []struct {
		name string
		mem  guest
		want error
	}{
		{"no memory", guest{}, io.EOF},
		{"wrong magic", guest{addr: make([]byte, 64)}, pvh.ErrBadMagic},
		{"cut off, version 0", guest{addr: header(pvh.Header{})[:39]}, io.EOF},
		{"cut off, version 1", guest{addr: header(pvh.Header{Version: 1})[:55]}, io.EOF},
		{"modules beyond belief", guest{addr: header(pvh.Header{NumModules: 1<<32 - 1})}, pvh.ErrTooManyModules},
		{"modules nowhere", guest{addr: header(pvh.Header{NumModules: 1, ModList: 1 << 20})}, io.EOF},
		{"modules at a negative offset", guest{addr: header(pvh.Header{NumModules: 1, ModList: ^uint64(0)})}, pvh.ErrOutOfRange},
		{"entries beyond belief", guest{addr: header(pvh.Header{Version: 1, NumEntries: 127})}, pvh.ErrTooManyEntries},
		{"entries nowhere", guest{addr: header(pvh.Header{Version: 1, NumEntries: 126, MemMap: 1 << 63})}, pvh.ErrOutOfRange},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if si, err := pvh.ParseStartInfo(tt.mem, addr); !errors.Is(err, tt.want) || si != nil {
				t.Errorf("%v, error %v, want %v", si, err, tt.want)
			}
		})
	}
}

// A later version extends version 1, so its first 56 bytes are read like it.
func TestParseStartInfoOfLaterVersion(t *testing.T) {
	b := pvh.Header{Version: 7, RSDP: 0xE0000}.AppendTo(nil)
	si, err := pvh.ParseStartInfo(guest{0x6000: b}, 0x6000)
	if err != nil || si.Version != 7 || si.RSDP != 0xE0000 {
		t.Errorf("%+v, error %v", si, err)
	}
}

func FuzzParseStartInfo(f *testing.F) {
	si := pvh.StartInfo{
		Version: 1, Cmdline: 0x20000, RSDP: 0xE0000, Modules: []pvh.Module{{Addr: 0x1000, Size: 1, Cmdline: 2}},
		MemMap: []pvh.MemMapEntry{{Addr: 0, Size: 1 << 20, Type: pvh.RAM}},
	}
	info, memMap, err := si.Encode(pvh.Layout{MemMap: 256})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(append(info, make([]byte, 256-len(info))...), memMap...), uint64(0))
	f.Add(pvh.Header{}.AppendTo(nil), uint64(0))
	f.Fuzz(func(t *testing.T, mem []byte, addr uint64) {
		si, err := pvh.ParseStartInfo(bytes.NewReader(mem), addr)
		if err != nil {
			return
		}
		at := pvh.Layout{Info: 0x6000, MemMap: 0x7000}
		info, memMap, err := si.Encode(at)
		if err != nil {
			return // read, but nothing that we would write
		}
		back, err := pvh.ParseStartInfo(guest{at.Info: info, at.MemMap: memMap}, at.Info)
		if err != nil {
			t.Fatalf("can't read what was written: %v", err)
		}
		if d := cmp.Diff(si, back); d != "" {
			t.Errorf("round trip (-read +written):\n%s", d)
		}
	})
}
