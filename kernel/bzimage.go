package kernel

import (
	"os"
	"strings"

	"github.com/mayfly-vm/mayfly/internal/compression"
)

// The setup header of a bzImage, by file offset (Linux,
// Documentation/arch/x86/boot.rst). Protocol 2.08 brought the payload fields.
const (
	setupSectors     = 0x1f1 // u8, units of 512 bytes; 0 means 4
	setupJump        = 0x201 // u8: the header ends at 0x202 plus this
	setupVersion     = 0x206 // u16
	setupKernel      = 0x20e // u16: version string, offset less 0x200
	setupInitrdMax   = 0x22c // u32, 2.03: last byte that an initrd may take
	setupXLF         = 0x236 // u16, 2.12: bit 0 = has a 64-bit entry, bit 1 = initrd and all may be above 4 GiB
	setupCmdlineSize = 0x238 // u32, 2.06: without the NUL
	setupPayload     = 0x248 // u32: from the start of protected-mode code
	setupLength      = 0x24c // u32
	setupInitSize    = 0x260 // u32, 2.10: memory needed to unpack and run
)

const xlfAbove4G = 1 << 1

// maxUnpacked bounds what is unpacked from any file, and so what a file made to
// fill the disk can take. The largest kernels with debug information stripped
// have about 100 MiB; with it, a compressed vmlinux comes to about 700 MiB.
const maxUnpacked = 1 << 30

// bzImage is what is used of one.
type bzImage struct {
	header  []byte // from 0x1f1
	version string
	kind    compression.Kind
	payload packed
}

// packed is a compressed run of a file.
type packed struct {
	kind      compression.Kind
	off, size uint64 // in the file
	exact     uint64 // unpacked size that the file names; 0: unknown
	limit     uint64
}

func parseBzImage(f *os.File, head []byte, fileSize uint64) (*bzImage, error) {
	if len(head) < setupInitSize+4 {
		return nil, bad(ErrTruncated, doCopyAgain, "is a bzImage cut off in its setup header, after %d bytes", len(head))
	}
	protocol := le.Uint16(head[setupVersion:])
	if protocol < 0x208 {
		return nil, bad(ErrUnsupported, "use Linux 2.6.26 or newer", "is a bzImage with boot protocol %d.%02d, which doesn't say where the kernel in it is", protocol>>8, protocol&0xff)
	}
	b := &bzImage{version: setupString(f, head)}
	end := min(0x202+int(head[setupJump]), len(head))
	b.header = head[setupSectors:end:end]

	sectors := uint64(head[setupSectors])
	if sectors == 0 {
		sectors = 4
	}
	p := packed{
		off:   (sectors+1)*512 + uint64(le.Uint32(head[setupPayload:])),
		size:  uint64(le.Uint32(head[setupLength:])),
		limit: maxUnpacked,
	}
	if p.size < 16 {
		return nil, bad(ErrBadBzImage, doCopyAgain, "is a bzImage with a payload of %d bytes", p.size)
	}
	if p.off+p.size > fileSize {
		return nil, bad(ErrTruncated, doCopyAgain, "is truncated: the bzImage's payload ends at %d, the file has %d bytes", p.off+p.size, fileSize)
	}
	var magic, tail [16]byte
	if _, err := readAt(f, magic[:], int64(p.off)); err != nil {
		return nil, err
	}
	if _, err := readAt(f, tail[:4], int64(p.off+p.size-4)); err != nil {
		return nil, err
	}
	p.kind = compression.Detect(magic[:])
	if p.kind == "" {
		return nil, bad(ErrBadBzImage, doCopyAgain, "is a bzImage whose payload begins with % x, which is no known compression", magic[:8])
	}
	// The build appends the unpacked size; gzip ends in it by itself.
	p.exact = uint64(le.Uint32(tail[:]))
	switch p.kind {
	case compression.Gzip:
	case compression.None:
		p.exact = p.size
	default:
		p.size -= 4
	}
	// What is unpacked must fit the memory that the image says it needs.
	if n := uint64(le.Uint32(head[setupInitSize:])); protocol >= 0x20a && n != 0 {
		p.limit = min(p.limit, n)
	}
	if p.exact == 0 || p.exact > p.limit {
		return nil, bad(ErrTooLarge, doCopyAgain, "is a bzImage whose %s payload claims to unpack to %d bytes, expected 1 to %d", p.kind, p.exact, p.limit)
	}
	b.kind, b.payload = p.kind, p
	return b, nil
}

// setupString is the version text that the header points at, or "".
func setupString(f *os.File, head []byte) string {
	off := int64(le.Uint16(head[setupKernel:]))
	if off == 0 {
		return ""
	}
	var b [256]byte
	n, err := readAt(f, b[:], off+0x200)
	if err != nil {
		return ""
	}
	s, _, ok := strings.Cut(string(b[:n]), "\x00")
	if !ok {
		return ""
	}
	return printable(s)
}

// CmdlineSize is the longest command line that the image's setup header says the
// kernel takes, without its NUL (protocol 2.06); 0: it says none, or is no bzImage.
func (im *Image) CmdlineSize() uint32 {
	if at := setupCmdlineSize - setupSectors; len(im.SetupHeader) >= at+4 && le.Uint16(im.SetupHeader[setupVersion-setupSectors:]) >= 0x206 {
		return le.Uint32(im.SetupHeader[at:])
	}
	return 0
}

// InitrdLimit is the first guest-physical address after where the kernel accepts an
// initrd, by the image's setup header (initrd_addr_max, protocol 2.03); 0: none. A kernel
// that can be loaded above 4 GiB has no such limit.
func (im *Image) InitrdLimit() uint64 {
	h := im.SetupHeader
	if at := setupInitrdMax - setupSectors; len(h) < at+4 || le.Uint32(h[at:]) == 0 {
		return 0
	}
	if at := setupXLF - setupSectors; len(h) >= at+2 && le.Uint16(h[at:])&xlfAbove4G != 0 {
		return 0
	}
	return uint64(le.Uint32(h[setupInitrdMax-setupSectors:])) + 1
}
