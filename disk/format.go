package disk

import (
	"fmt"
	"path/filepath"
	"strings"
)

const qcow2Magic = "QFI\xfb"

// Others that people have and that no program of ours reads, by their first
// bytes: their guests would find no partition table and not say why.
var foreign = []struct{ magic, name string }{
	{"KDMV", "VMDK"},
	{"vhdxfile", "VHDX"},
	{"conectix", "VHD"},
	{"<<< Oracle VM VirtualBox Disk Image >>>", "VDI"},
	{"\x1f\x8b\x08", "gzip-compressed"},
	{"\xfd7zXZ\x00", "xz-compressed"},
	{"\x28\xb5\x2f\xfd", "zstd-compressed"},
}

// Format decides what the image is: want, or if that is Auto, what path and the
// first bytes say.
func (f *File) Format(want Format, path string) (Format, error) {
	if err := want.Check(); err != nil {
		return "", fmt.Errorf("format: %w", err)
	}
	var head [64]byte
	n, err := f.ReadAt(head[:], 0)
	if n == 0 && err != nil && f.size.Load() > 0 {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	start := string(head[:n])
	qcow := strings.HasPrefix(start, qcow2Magic)
	switch {
	case want == Raw:
		return Raw, nil
	case want == QCOW2 && !qcow:
		return "", fmt.Errorf("is no qcow2 image: it begins with %q", start[:min(4, n)])
	case want == QCOW2:
		return QCOW2, nil
	}
	ext := strings.ToLower(filepath.Ext(path))
	named := ext == ".qcow2" || ext == ".qcow"
	switch {
	case qcow && named:
		return QCOW2, nil
	case named:
		// Taken for raw, its guest could make a qcow2 image of it that is backed by any
		// file of the host, for the next start.
		return "", fmt.Errorf("is named like a qcow2 image and begins with %q; say format=raw if it is a raw image", start[:min(4, n)])
	case qcow:
		return "", fmt.Errorf("begins like a qcow2 image; say format=qcow2 if it is one, or format=raw if a guest wrote that")
	}
	for _, x := range foreign {
		if strings.HasPrefix(start, x.magic) {
			return "", fmt.Errorf("looks like a %s image; convert it: qemu-img convert -O raw (or unpack it); or say format=raw if a guest wrote that", x.name)
		}
	}
	return Raw, nil
}
