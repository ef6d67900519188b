package tiny_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/guest/tiny"
	"github.com/mayfly-vm/mayfly/pvh"
)

func TestSizeAndCode(t *testing.T) {
	if len(tiny.ELF) >= 1024 {
		t.Errorf("tiny.elf has %d bytes, promised < 1024", len(tiny.ELF))
	}
	// mov $0x3f8,%dx; mov $'M',%al; out %al,(%dx); cli; hlt; jmp to the hlt
	want := []byte{0x66, 0xba, 0xf8, 0x03, 0xb0, tiny.Mark, 0xee, 0xfa, 0xf4, 0xeb, 0xfd}
	if !bytes.Equal(tiny.Code(), want) {
		t.Errorf("Code() = % x, want % x", tiny.Code(), want)
	}
}

func TestRebuildIsIdentical(t *testing.T) {
	for _, tool := range []string{"make", "as", "ld"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: tiny.elf can't be rebuilt from tiny.S", tool)
		}
	}
	out := filepath.Join(t.TempDir(), "tiny.elf")
	if b, err := exec.Command("make", "-s", "OUT="+out).CombinedOutput(); err != nil {
		t.Fatalf("make: %v\n%s", err, b)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, tiny.ELF) {
		t.Error("tiny.elf is not what tiny.S gives: run make in guest/tiny and commit the result")
	}
}

func TestPatchEntry(t *testing.T) {
	// A kernel with other code at the same entry, and a tail that must survive.
	kernel := append(bytes.Clone(tiny.ELF), bytes.Repeat([]byte{0xa5}, 5000)...)
	code := len(tiny.ELF) - len(tiny.Code())
	for i := range tiny.Code() {
		kernel[code+i] = 0x90
	}
	in, out := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out")
	write(t, in, kernel)
	if err := tiny.PatchEntry(in, out); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := append(bytes.Clone(tiny.ELF), kernel[len(tiny.ELF):]...)
	if !bytes.Equal(got, want) {
		t.Error("patched file is not the kernel with Code at its entry")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), ".tiny-*")); left != nil {
		t.Errorf("files are left: %v", left)
	}
}

func TestPatchEntryRefuses(t *testing.T) {
	const phdrLoad, phdrNote, note = 64, 64 + 56, 64 + 2*56
	tests := []struct {
		name string
		edit func(b []byte) []byte
		want error // nil: any
	}{
		{"empty", func(b []byte) []byte { return nil }, nil},
		{"no ELF", func(b []byte) []byte { b[0] = 'X'; return b }, nil},
		{"no PT_NOTE", func(b []byte) []byte { b[phdrNote] = byte(elf.PT_NULL); return b }, tiny.ErrNoEntry},
		{"foreign owner", func(b []byte) []byte { b[note+12] = 'Y'; return b }, tiny.ErrNoEntry},
		{"other type", func(b []byte) []byte { b[note+8] = 17; return b }, tiny.ErrNoEntry},
		{"descriptor of 3 bytes", func(b []byte) []byte { b[note+4] = 3; return b }, pvh.ErrBadNote},
		{"name beyond the note", func(b []byte) []byte { b[note+2] = 0xff; return b }, pvh.ErrBadNote},
		{"entry outside", func(b []byte) []byte { b[note+16+3] = 0x77; return b }, tiny.ErrNoEntry},
		{"no room at the entry", func(b []byte) []byte { b[phdrLoad+32] -= 4; return b }, tiny.ErrNoEntry},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, out := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out")
			write(t, in, tt.edit(bytes.Clone(tiny.ELF)))
			err := tiny.PatchEntry(in, out)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("an output file was left")
			}
		})
	}
}

func TestRunsOnQEMU(t *testing.T) {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is not installed")
	}
	in := filepath.Join(t.TempDir(), "tiny.elf")
	write(t, in, tiny.ELF)
	cmd := exec.Command(qemu, "-M", "microvm", "-accel", "tcg", "-m", "16", "-display", "none", "-monitor", "none", "-no-reboot", "-serial", "stdio", "-kernel", in)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The guest never ends by itself; the timer only bounds a guest that doesn't speak.
	timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	var b [1]byte
	_, readErr := io.ReadFull(out, b[:])
	timer.Stop()
	cmd.Process.Kill()
	cmd.Wait()
	if readErr != nil || b[0] != tiny.Mark {
		t.Errorf("first output %q (%v), want %q", b, readErr, tiny.Mark)
	}
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
