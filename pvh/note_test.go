package pvh_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly/pvh"
)

// linuxNotes are notes as a Linux vmlinux has them: another owner of type 18,
// then Xen's 18 with 8 bytes and 19 with 12.
const linuxNotes = `
	0c000000 04000000 12000000 41746d6f73706865726521 00 00000000
	04000000 08000000 12000000 58656e00 20a6f80200000000
	04000000 0c000000 13000000 58656e00 00002000 00000001 ffffff1f`

func TestNotesOfLinux(t *testing.T) {
	// The first owner has 12 bytes of name, "Atmosphere!" and its NUL.
	data := unhex(t, linuxNotes)
	notes, err := pvh.ParseNotes(data, 4)
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) != 3 || notes[0].Name != "Atmosphere!\x00" || notes[0].Type != 18 {
		t.Fatalf("notes %+v", notes)
	}
	e, err := pvh.FindEntry(notes)
	if err != nil {
		t.Fatal(err)
	}
	if want := (&pvh.EntryNote{Addr: 0x2f8a620, DescSize: 8}); *e != *want {
		t.Errorf("entry %+v, want %+v", e, want)
	}
	r, err := pvh.FindReloc(notes)
	if err != nil {
		t.Fatal(err)
	}
	want := &pvh.RelocNote{Align: 2 << 20, Min: 16 << 20, Max: 512<<20 - 1, HasAlign: true, HasMin: true, HasMax: true}
	if d := cmp.Diff(want, r); d != "" {
		t.Errorf("relocation (-want +got):\n%s", d)
	}
}

func TestFindEntry(t *testing.T) {
	for _, tt := range []struct {
		name  string
		owner string
		typ   uint32
		desc  string
		want  uint64 // 0: no note
		err   error
	}{
		{name: "8 bytes", desc: "0000000100000000", want: 0x1000000},
		{name: "4 bytes", desc: "00000001", want: 0x1000000},
		{name: "2 bytes", desc: "3412", want: 0x1234},
		{name: "1 byte", desc: "12", want: 0x12},
		{name: "no descriptor", err: pvh.ErrBadNote},
		{name: "3 bytes", desc: "010203", err: pvh.ErrBadNote},
		{name: "16 bytes", desc: "01020304050607080102030405060708", err: pvh.ErrBadNote},
		{name: "above 4 GiB", desc: "0000000001000000", err: pvh.ErrBadNote},
		{name: "another owner", owner: "GNU\x00", desc: "00000001"},
		{name: "an owner without NUL", owner: "Xen", desc: "00000001"},
		{name: "an owner followed by more", owner: "Xen\x00x", desc: "00000001"},
		{name: "another type", typ: 19, desc: "00000001"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := pvh.Note{Name: pvh.Owner, Type: 18, Desc: unhex(t, tt.desc)}
			if tt.owner != "" {
				n.Name = tt.owner
			}
			if tt.typ != 0 {
				n.Type = tt.typ
			}
			notes, err := pvh.ParseNotes(pvh.AppendNote(nil, n), 4)
			if err != nil {
				t.Fatal(err)
			}
			e, err := pvh.FindEntry(notes)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if (e != nil) != (tt.want != 0) || e != nil && e.Addr != tt.want {
				t.Errorf("%+v, want %#x", e, tt.want)
			}
		})
	}
}

func TestFindTwoNotesThatDiffer(t *testing.T) {
	note := func(typ uint32, b byte) pvh.Note {
		return pvh.Note{Name: pvh.Owner, Type: typ, Desc: []byte{0, 0, b, 0}}
	}
	if _, err := pvh.FindEntry([]pvh.Note{note(18, 1), note(18, 1)}); err != nil {
		t.Error(err)
	}
	if _, err := pvh.FindEntry([]pvh.Note{note(18, 1), note(18, 2)}); !errors.Is(err, pvh.ErrBadNote) {
		t.Errorf("entry: error %v", err)
	}
	if _, err := pvh.FindReloc([]pvh.Note{note(19, 1), note(19, 2)}); !errors.Is(err, pvh.ErrBadNote) {
		t.Errorf("relocation: error %v", err)
	}
}

func TestRelocLimits(t *testing.T) {
	for _, tt := range []struct {
		name                string
		desc                string
		maxAlign            uint64
		align, lowest, high uint64
		err                 error
	}{
		{name: "empty, small p_align", maxAlign: 16, align: 2 << 20, high: 1<<32 - 1},
		{name: "empty, p_align of a page", maxAlign: 4096, align: 4096, high: 1<<32 - 1},
		{name: "alignment", desc: "00001000", maxAlign: 4096, align: 1 << 20, high: 1<<32 - 1},
		{name: "and lowest", desc: "00001000 00000001", align: 1 << 20, lowest: 16 << 20, high: 1<<32 - 1},
		{name: "and highest", desc: "00001000 00000001 ffffff3f", align: 1 << 20, lowest: 16 << 20, high: 1<<30 - 1},
		{name: "alignment 0", desc: "00000000", err: pvh.ErrBadNote},
		{name: "alignment 3", desc: "03000000", err: pvh.ErrBadNote},
		{name: "no room", desc: "00001000 00000001 ffffff00", err: pvh.ErrBadNote},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := pvh.FindReloc([]pvh.Note{{Name: pvh.Owner, Type: 19, Desc: unhex(t, tt.desc)}})
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			if a, l, h := r.Limits(tt.maxAlign); a != tt.align || l != tt.lowest || h != tt.high {
				t.Errorf("%#x, %#x, %#x, want %#x, %#x, %#x", a, l, h, tt.align, tt.lowest, tt.high)
			}
		})
	}
}

func TestParseNotes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		data  string
		align uint64
		want  int // notes returned
		err   error
	}{
		{name: "nothing"},
		{name: "zeros", data: "00000000 00000000 00000000 00000000 000000"},
		{name: "zeros between", data: "00000000 00000000 00000000 04000000 00000000 01000000 58656e00", want: 1},
		{name: "padding of the last one is cut off", data: "04000000 01000000 01000000 58656e00 aa", want: 1},
		{name: "name's padding is cut off", data: "03000000 00000000 01000000 58656e", want: 1},
		{name: "8-byte alignment", align: 8, data: `
			04000000 04000000 01000000 58656e00 aaaaaaaa 00000000
			04000000 04000000 02000000 58656e00 bbbbbbbb 00000000`, want: 2},
		{name: "alignment of a page means 4", align: 4096, data: `
			04000000 04000000 01000000 58656e00 aaaaaaaa
			04000000 04000000 02000000 58656e00 bbbbbbbb`, want: 2},
		{name: "half a header after a note", data: "04000000 00000000 01000000 58656e00 04000000", want: 1, err: pvh.ErrBadNote},
		{name: "name too long", data: "05000000 00000000 01000000 58656e00", err: pvh.ErrBadNote},
		{name: "name of 4 GiB", data: "ffffffff 00000000 01000000 58656e00", err: pvh.ErrBadNote},
		{name: "descriptor too long", data: "04000000 05000000 01000000 58656e00 00000000", err: pvh.ErrBadNote},
		{name: "both of 4 GiB", data: "ffffffff ffffffff ffffffff", err: pvh.ErrBadNote},
	} {
		t.Run(tt.name, func(t *testing.T) {
			notes, err := pvh.ParseNotes(unhex(t, tt.data), tt.align)
			if !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if len(notes) != tt.want {
				t.Errorf("%d notes, want %d", len(notes), tt.want)
			}
		})
	}
}

func TestParseNotesIsBounded(t *testing.T) {
	one := pvh.AppendNote(nil, pvh.Note{Type: 1})
	notes, err := pvh.ParseNotes(bytes.Repeat(one, pvh.MaxNotes+1), 4)
	if len(notes) != pvh.MaxNotes || !errors.Is(err, pvh.ErrBadNote) {
		t.Errorf("%d notes, error %v", len(notes), err)
	}
}

func FuzzParseNotes(f *testing.F) {
	f.Add(unhex(f, linuxNotes), uint64(4))
	f.Add([]byte("\x04\x00\x00\x00\xff\xff\xff\xff\x12\x00\x00\x00Xen\x00"), uint64(8))
	f.Fuzz(func(t *testing.T, data []byte, align uint64) {
		notes, err := pvh.ParseNotes(data, align)
		size := 0
		for _, n := range notes {
			size += len(n.Name) + len(n.Desc)
		}
		if size > len(data) {
			t.Errorf("%d bytes of notes out of %d", size, len(data))
		}
		if e, err := pvh.FindEntry(notes); err == nil && e != nil && e.Addr >= 1<<32 {
			t.Errorf("entry %#x", e.Addr)
		}
		if r, err := pvh.FindReloc(notes); err == nil && r != nil {
			if a, _, _ := r.Limits(0); a == 0 || a&(a-1) != 0 {
				t.Errorf("alignment %#x", a)
			}
		}
		if err != nil {
			return
		}
		var again []byte
		for _, n := range notes {
			again = pvh.AppendNote(again, n)
		}
		back, err := pvh.ParseNotes(again, 4)
		if err != nil {
			t.Fatal(err)
		}
		same := func(a, b pvh.Note) bool {
			return a.Name == b.Name && a.Type == b.Type && bytes.Equal(a.Desc, b.Desc)
		}
		if len(back) != len(notes) {
			t.Fatalf("%d notes written, %d read", len(notes), len(back))
		}
		for i := range back {
			if !same(back[i], notes[i]) {
				t.Errorf("note %d: wrote %+v, read %+v", i, notes[i], back[i])
			}
		}
	})
}
