package kernels

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// unpackVmlinux writes the ELF file that is packed in a bzImage. The setup
// header says where it lies: Linux, Documentation/arch/x86/boot.rst, fields
// setup_sects (0x1f1), header (0x202), payload_offset (0x248) and
// payload_length (0x24c). It is kept apart from package kernel on purpose, so
// that the tests of that package have something independent to compare with.
func (m *maker) unpackVmlinux(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if len(b) < 0x250 || string(b[0x202:0x206]) != "HdrS" {
		return fmt.Errorf("%s is no bzImage: no HdrS at 0x202", from)
	}
	sects := uint64(b[0x1f1])
	if sects == 0 {
		sects = 4
	}
	start := (sects+1)*512 + uint64(binary.LittleEndian.Uint32(b[0x248:]))
	end := start + uint64(binary.LittleEndian.Uint32(b[0x24c:]))
	if start >= end || end > uint64(len(b)) {
		return fmt.Errorf("%s: payload %#x-%#x lies outside the file of %#x bytes", from, start, end, len(b))
	}
	// The kernel's build appends the unpacked size, which is no part of the
	// compressed stream.
	size := int64(binary.LittleEndian.Uint32(b[end-4:]))
	p := b[start : end-4]
	switch {
	case bytes.HasPrefix(p, []byte("\x28\xb5\x2f\xfd")):
		d, err := zstd.NewReader(bytes.NewReader(p), zstd.WithDecoderMaxWindow(1<<30))
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		defer d.Close()
		if err := writeFile(to, io.LimitReader(d, size)); err != nil {
			return fmt.Errorf("%s: zstd: %w", from, err)
		}
		return nil
	case bytes.HasPrefix(p, []byte("\x02\x21\x4c\x18")): // the old frame format of lz4
		if err := writeFile(to, io.LimitReader(lz4.NewReader(bytes.NewReader(p)), size)); err != nil {
			return fmt.Errorf("%s: lz4: %w", from, err)
		}
		return nil
	case bytes.HasPrefix(p, []byte("\xfd7zXZ\x00")):
		return m.xz(p, to)
	}
	return fmt.Errorf("%s: payload starts with % x, which is none of zstd, lz4 and xz", from, p[:min(8, len(p))])
}

// xz unpacks p with the program of that name: the kernel's payload has gone
// through the x86 filter, which the Go package does not undo.
func (m *maker) xz(p []byte, to string) error {
	if err := m.Require("xz-utils"); err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(m.Context, "xz", "-dc", "--single-stream")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(p), f, &stderr
	if err := cmd.Run(); err != nil {
		f.Close()
		return fmt.Errorf("xz -dc: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return f.Close()
}
