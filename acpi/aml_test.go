package acpi

import (
	"bytes"
	"testing"
)

func TestPkgLength(t *testing.T) {
	for _, tt := range []struct {
		n    int // bytes that follow
		want []byte
	}{
		{0, []byte{0x01}},
		{62, []byte{0x3F}},
		{63, []byte{0x41, 0x04}},        // 65
		{0xFFF - 2, []byte{0x4F, 0xFF}}, // 0xFFF
		{0xFFF - 1, []byte{0x81, 0x00, 0x01}},
		{0xFFFFF - 3, []byte{0x8F, 0xFF, 0xFF}},
		{0xFFFFF - 2, []byte{0xC1, 0x00, 0x00, 0x01}},
	} {
		if got := pkgLength(tt.n); !bytes.Equal(got, tt.want) {
			t.Errorf("%d: % x, want % x", tt.n, got, tt.want)
		}
	}
}

func TestTerms(t *testing.T) {
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"zero", integer(0), "\x00"},
		{"one", integer(1), "\x01"},
		{"byte", integer(0xFF), "\x0A\xFF"},
		{"word", integer(0x100), "\x0B\x00\x01"},
		{"dword", integer(0x10000), "\x0C\x00\x00\x01\x00"},
		{"qword", integer(1 << 32), "\x0E\x00\x00\x00\x00\x01\x00\x00\x00"},
		{"EISA id", eisaID("PNP0C0C"), "\x0C\x41\xD0\x0C\x0C"},
		{"string", str("ACPI0013"), "\x0DACPI0013\x00"},
		{"path from here", path("_HID"), "_HID"},
		{"path from the root", path(`\_SB_.PWRB`), "\\\x2E_SB_PWRB"},
		{"path of three", path("_SB_.PCI0.S08_"), "\x2F\x03_SB_PCI0S08_"},
		{"package", pkg(integer(5), integer(0)), "\x12\x05\x02\x0A\x05\x00"},
		{"ports", ioPorts(0x3f8, 8), "\x47\x01\xF8\x03\xF8\x03\x01\x08"},
		{"interrupt", edgeInterrupt(4), "\x89\x06\x00\x03\x01\x04\x00\x00\x00"},
		{"resources", resources(ioPorts(1, 2)), "\x11\x0D\x0A\x0A\x47\x01\x01\x00\x01\x00\x01\x02\x79\x00"},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("%s: % x, want % x", tt.name, tt.got, tt.want)
		}
	}
}
