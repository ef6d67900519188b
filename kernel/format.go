package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

// Format is what the user's file is.
type Format string

// Formats.
const (
	FormatELF     Format = "ELF"
	FormatBzImage Format = "bzImage"
	FormatPacked  Format = "compressed ELF"
	formatUnknown Format = ""
)

// identify judges by the first bytes, up to 4096 of them.
func identify(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return FormatELF
	case len(head) >= 0x206 && string(head[0x202:0x206]) == "HdrS":
		return FormatBzImage // before the rest: it also begins with "MZ", or anything
	case compressionOf(head) != "":
		return FormatPacked
	}
	return formatUnknown
}

// compressionOf leaves out the lzma alone format unless it is sure: its header
// has no magic, and its first byte 0x5d is a plain "]".
func compressionOf(head []byte) compression.Kind {
	k := compression.Detect(head)
	if k == compression.None {
		return ""
	}
	return k
}

// notKernel says what a file that is no kernel seems to be.
func notKernel(head []byte, size uint64) error {
	what := "is no kernel: it begins with " + fmt.Sprintf("% x", head[:min(8, len(head))])
	do := doGetKernel
	has := func(at int, s string) bool { return len(head) >= at+len(s) && string(head[at:at+len(s)]) == s }
	switch {
	case len(bytes.Trim(head, "\x00")) == 0:
		what = fmt.Sprintf("is no kernel: its first %d bytes are zeroes", len(head))
	case has(0x38, "ARMd"):
		what = "is a Linux kernel for arm64, expected one for x86-64"
	case has(0x38, "RSC\x05"):
		what = "is a Linux kernel for RISC-V, expected one for x86-64"
	case has(0, "MZ") && has(4, "zimg"):
		what = "is an EFI zboot kernel, which x86 doesn't use"
	case has(0, "MZ"):
		what = "is an EFI program without a Linux setup header, such as a unified kernel image"
		do = "extract its kernel: objcopy -O binary --only-section=.linux FILE vmlinuz"
	case has(0, "#!"):
		what = "is a script"
	case has(0, "070701") || has(0, "070702") || has(0, "070707"):
		what = "is a cpio archive, probably an initramfs"
		do = "give it as the initrd, with a kernel"
	case has(0, "\xd0\x0d\xfe\xed"):
		what = "is a device tree"
	case has(0, "\x27\x05\x19\x56"):
		what = "is a U-Boot image"
	case has(0, "!<arch>"):
		what = "is an archive (a .deb or .a)"
		do = "unpack it and give the kernel inside"
	case has(0x1fe, "\x55\xaa"):
		what = "is a boot sector, disk image or a Linux kernel older than boot protocol 2.00"
	case has(257, "ustar"):
		what = "is a tar archive"
		do = "unpack it and give the kernel inside"
	case size < 64:
		what = fmt.Sprintf("is no kernel: it has %d bytes", size)
	case isText(head):
		what = "is a text file"
	}
	return bad(ErrNotKernel, do, "%s", what)
}

func isText(head []byte) bool {
	for _, c := range head {
		if c < 0x20 && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// readAt fills p as far as the file reaches.
func readAt(f *os.File, p []byte, off int64) (int, error) {
	n, err := f.ReadAt(p, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

var le = binary.LittleEndian
