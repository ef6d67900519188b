package smbios_test

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/smbios"
)

var le = binary.LittleEndian

func config() smbios.Config {
	return smbios.Config{
		Serial: "SN-42", Version: "7", SKU: "sku", Family: "flies", AssetTag: "tag",
		UUID: [16]byte{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00},
		OEM:  []string{"io.systemd.credential:ssh=key", "second"},
		CPUs: 4, Memory: 5 << 30,
	}
}

// walk reads structures as Linux does.
func walk(t testing.TB, b []byte) (kinds []byte, strs map[byte][]string) {
	t.Helper()
	strs = map[byte][]string{}
	for len(b) > 0 {
		if len(b) < 4 || int(b[1]) < 4 || int(b[1]) > len(b) {
			t.Fatalf("structure % x", b[:min(len(b), 8)])
		}
		kind := b[0]
		kinds = append(kinds, kind)
		b = b[b[1]:]
		end := strings.Index(string(b), "\x00\x00")
		if end < 0 {
			t.Fatal("strings without an end")
		}
		if end > 0 {
			strs[kind] = append(strs[kind], strings.Split(string(b[:end]), "\x00")...)
		}
		b = b[end+2:]
	}
	return kinds, strs
}

func TestBuild(t *testing.T) {
	const base = 0xF0120
	b, err := smbios.Build(base, config())
	if err != nil {
		t.Fatal(err)
	}
	var sum byte
	for _, c := range b[:24] {
		sum += c
	}
	if string(b[:5]) != "_SM3_" || b[6] != 24 || sum != 0 {
		t.Fatalf("entry point % x", b[:24])
	}
	table := le.Uint64(b[16:]) - base
	if table < 24 || int(table)+int(le.Uint32(b[12:])) != len(b) {
		t.Fatalf("entry point % x of %d bytes", b[:24], len(b))
	}
	kinds, strs := walk(t, b[table:])
	if string(kinds) != "\x00\x01\x03\x04\x0b\x10\x11\x13\x13\x20\x7f" {
		t.Errorf("types %v", kinds)
	}
	if got := strings.Join(strs[1], "|"); got != "Mayfly|microVM|7|SN-42|sku|flies" {
		t.Errorf("system: %s", got)
	}
	if got := strings.Join(strs[11], "|"); got != "io.systemd.credential:ssh=key|second" {
		t.Errorf("OEM strings: %s", got)
	}
	empty, err := smbios.Build(base, smbios.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if kinds, _ := walk(t, empty[32:]); string(kinds) != "\x00\x01\x03\x20\x7f" {
		t.Errorf("types %v of an empty configuration", kinds)
	}
}

func TestRefusals(t *testing.T) {
	many := make([]string, 255)
	for i := range many {
		many[i] = strings.Repeat("x", 300)
	}
	for _, tt := range []struct {
		name string
		base uint64
		c    smbios.Config
		want error
		msg  string
	}{
		{"too low", 0xE0000, smbios.Config{}, smbios.ErrPlace, "0xe0000"},
		{"too high", 0x100000, smbios.Config{}, smbios.ErrPlace, "0x100000"},
		{"unaligned", 0xF0008, smbios.Config{}, smbios.ErrPlace, "multiple of 16"},
		{"no room", 0xFFFF0, smbios.Config{}, smbios.ErrPlace, "must end"},
		{"too much", 0xF0000, smbios.Config{OEM: many}, smbios.ErrPlace, "fewer or shorter"},
		{"a NUL", 0xF0000, smbios.Config{Serial: "a\x00b"}, smbios.ErrConfig, "serial: a NUL at byte 1"},
		{"an empty string", 0xF0000, smbios.Config{OEM: []string{"a", ""}}, smbios.ErrConfig, "OEM string 2 is empty"},
		{"many strings", 0xF0000, smbios.Config{OEM: make([]string, 256)}, smbios.ErrConfig, "at most 255"},
		{"a long string", 0xF0000, smbios.Config{Family: strings.Repeat("x", 1<<16)}, smbios.ErrConfig, "family: 65536 bytes"},
		{"processors", 0xF0000, smbios.Config{CPUs: -1}, smbios.ErrConfig, "-1 processors"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := smbios.Build(tt.base, tt.c)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.msg) {
				t.Fatalf("error %v, want %q", err, tt.msg)
			}
		})
	}
	if _, _, err := smbios.Split(1<<30, smbios.Config{OEM: many}); err != nil {
		t.Errorf("elsewhere there is room: %v", err)
	}
}

func TestCredential(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"ssh.authorized_keys.root", "ssh-ed25519 AAAA me", "io.systemd.credential:ssh.authorized_keys.root=ssh-ed25519 AAAA me"},
		{"a", "", "io.systemd.credential:a="},
		{"a", "two\nlines", "io.systemd.credential.binary:a=dHdvCmxpbmVz"},
		{"a", " blank", "io.systemd.credential.binary:a=IGJsYW5r"},
	} {
		if got, err := smbios.Credential(tt.name, tt.value); err != nil || got != tt.want {
			t.Errorf("%q %q: %q, %v", tt.name, tt.value, got, err)
		}
	}
	for _, name := range []string{"", "a=b", "a b", "ä", strings.Repeat("a", 256)} {
		if _, err := smbios.Credential(name, "x"); !errors.Is(err, smbios.ErrConfig) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

// TestDmidecodeReads has dmidecode read the tables.
func TestDmidecodeReads(t *testing.T) {
	tool, err := exec.LookPath("dmidecode")
	if err != nil {
		if tool = "/usr/sbin/dmidecode"; !fileExists(tool) {
			t.Skip("dmidecode isn't installed (Debian: apt-get install dmidecode)")
		}
	}
	for name, memory := range map[string]uint64{"128M": 128 << 20, "5G": 5 << 30, "6T": 6 << 40} {
		t.Run(name, func(t *testing.T) {
			c := config()
			c.Memory = memory
			entry, tables, err := smbios.Split(32, c) // as it lies in a dump
			if err != nil {
				t.Fatal(err)
			}
			dump := filepath.Join(t.TempDir(), "dump")
			if err := os.WriteFile(dump, append(append(entry, make([]byte, 8)...), tables...), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(tool, "--from-dump", dump).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{
				"System is a virtual machine", "Serial Number: SN-42", "UUID: 123e4567-e89b-12d3-a456-426614174000", "SKU Number: sku", "Family: flies",
				"Asset Tag: tag", "String 1: io.systemd.credential:ssh=key", "String 2: second", "Core Count: 4", "Thread Count: 4",
				"System Boot Information", "End Of Table",
				map[string]string{"128M": "Range Size: 128 MB", "5G": "Size: 5 GB", "6T": "Maximum Capacity: 6 TB"}[name],
			} {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			for _, bad := range []string{"OUT OF SPEC", "TRUNCATED", "WARNING", "wrong", "Invalid", "BAD INDEX", "broken", "incorrect"} {
				if strings.Contains(strings.ToLower(string(out)), strings.ToLower(bad)) {
					t.Errorf("%q in\n%s", bad, out)
				}
			}
		})
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func FuzzBuild(f *testing.F) {
	f.Add("serial", "oem", "third", 4, uint64(1<<30))
	f.Fuzz(func(t *testing.T, serial, a, b string, cpus int, memory uint64) {
		out, err := smbios.Build(0xF0000, smbios.Config{Serial: serial, OEM: []string{a, b}, CPUs: cpus, Memory: memory})
		if err != nil {
			return
		}
		kinds, strs := walk(t, out[32:])
		if kinds[len(kinds)-1] != 127 || len(strs[11]) != 2 || strs[11][0] != a || strs[11][1] != b {
			t.Fatalf("types %v, strings %q", kinds, strs)
		}
	})
}
