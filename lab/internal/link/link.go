// Package link is the line between the lab and the first process of its nest:
// frames over a virtio-serial port, and the two descriptions that travel on it.
package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"
)

// Kind says what a frame carries.
type Kind byte

// The kinds of frames, all from the nest to the lab.
const (
	Hello  Kind = 'h' // JSON [Greeting], the first frame
	Stdout Kind = 'o' // bytes of the program's standard output
	Stderr Kind = 'e' // bytes of the program's standard error
	File   Kind = 'f' // a piece of a file to bring back, see [FilePiece]
	Beat   Kind = 'b' // empty: the nest is alive
	Exit   Kind = 'x' // JSON [Ending], the last frame
)

// Port is the name of the virtio-serial port that carries the frames.
const Port = "mayfly.lab"

// MaxPayload is the largest payload of one frame, in bytes. It bounds what a
// corrupt length can make the reader allocate.
const MaxPayload = 1 << 20

// A frame is a header of 13 bytes, little-endian, and the payload:
//
//	0  u32  magic "MFLB"
//	4  u8   kind
//	5  u32  length of the payload in bytes
//	9  u32  CRC-32 (IEEE) of the payload
const (
	magic      = 0x424C464D
	headerSize = 13
)

// Spec is what the nest's first process shall run. It is at [SpecPath] in
// the initramfs, as JSON.
type Spec struct {
	Path        string        // program, absolute path in L1
	Args        []string      // without argv[0]
	Env         []string      // added to the first process's own few variables
	Dir         string        // working directory
	PortModules []string      // kernel modules that the port of this link needs: likewise, but loaded before it is opened
	Modules     []string      // kernel modules to load, in this order, absolute paths
	Disks       []string      // names in Dir for the disks, in the order of their serial numbers
	THP         string        // "always", "madvise", "never"; empty leaves the kernel's default
	Timeout     time.Duration // the program's time, 0 for none
	Collect     []string      // files to bring back, as the caller named them; relative to Dir
}

// DiskSerial is the serial number of the disk that [Spec.Disks] has at index i.
func DiskSerial(i int) string { return fmt.Sprintf("lab%d", i) }

// SpecPath is where the initramfs of the nest holds the [Spec].
const SpecPath = "/lab/job.json"

// Greeting is what the nest found when it came up.
type Greeting struct {
	Kernel string        // release of L1's kernel
	KVM    string        // modules that provide it, such as "kvm_amd"
	API    int           // KVM_GET_API_VERSION, 0 when there is no /dev/kvm
	THP    string        // transparent huge pages as the kernel prints the choice
	Uptime time.Duration // time since L1's kernel started, by its own clock
}

// Ending is how the program ended.
type Ending struct {
	Code     int           // exit code; 128 + signal when a signal ended it
	Signal   int           // 0 when it exited by itself
	TimedOut bool          // it was killed since Spec.Timeout had passed
	Fault    string        // the nest could not run it at all; empty otherwise
	Missing  []string      // names of Spec.Collect that were not there
	Elapsed  time.Duration // the program's time by L1's clock
}

// Writer writes frames. It is safe for concurrent use.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write sends p as frames of kind k, cut to [MaxPayload].
func (w *Writer) Write(k Kind, p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		n := min(len(p), MaxPayload)
		b := binary.LittleEndian.AppendUint32(w.buf[:0], magic)
		b = append(b, byte(k))
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
		b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(p[:n]))
		w.buf = append(b, p[:n]...)
		if _, err := w.w.Write(w.buf); err != nil {
			return err
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
	}
}

// Read reads one frame from r. It returns io.EOF only between frames.
func Read(r io.Reader) (Kind, []byte, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	if m := binary.LittleEndian.Uint32(h[0:]); m != magic {
		return 0, nil, fmt.Errorf("lab: frame starts with %#x, not %#x: the stream from the nest is out of step", m, magic)
	}
	k, n, sum := Kind(h[4]), binary.LittleEndian.Uint32(h[5:]), binary.LittleEndian.Uint32(h[9:])
	if n > MaxPayload {
		return 0, nil, fmt.Errorf("lab: frame %q claims %d bytes, more than %d", k, n, MaxPayload)
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	if got := crc32.ChecksumIEEE(p); got != sum {
		return 0, nil, fmt.Errorf("lab: frame %q of %d bytes has CRC %#x, its header says %#x", k, n, got, sum)
	}
	return k, p, nil
}

// AppendFilePiece encodes one piece of the file name: a u16 length, the name,
// the data. A file is the concatenation of its pieces; an empty file is one
// piece without data.
func AppendFilePiece(b []byte, name string, data []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, name...)
	return append(b, data...)
}

// FilePiece decodes what [AppendFilePiece] wrote.
func FilePiece(p []byte) (name string, data []byte, err error) {
	if len(p) < 2 || len(p) < 2+int(binary.LittleEndian.Uint16(p)) {
		return "", nil, fmt.Errorf("lab: file frame of %d bytes is too short for its name", len(p))
	}
	n := 2 + int(binary.LittleEndian.Uint16(p))
	return string(p[2:n]), p[n:], nil
}
