package usernet

import (
	"encoding/binary"
	"fmt"
	"net"
)

// A frame's length with its Ethernet header.
const (
	minFrame = 14
	maxFrame = MaxMTU + 14 + 4
)

// frames is a connection whose lengths are looked at on the way: the library takes
// memory for what the length says, and expects an Ethernet header.
type frames struct {
	net.Conn
	left int // bytes of the current frame that are still to come
	head [4]byte
	got  int // bytes of head that have come
}

func newFrames(c net.Conn) net.Conn { return &frames{Conn: c} }

// Read is net.Conn's.
func (f *frames) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	for b := p[:n]; len(b) > 0; {
		if f.left > 0 {
			skip := min(f.left, len(b))
			f.left -= skip
			b = b[skip:]
			continue
		}
		f.head[f.got] = b[0]
		b = b[1:]
		if f.got++; f.got < len(f.head) {
			continue
		}
		f.got = 0
		size := binary.BigEndian.Uint32(f.head[:])
		if size < minFrame || size > maxFrame {
			return 0, fmt.Errorf("usernet: a frame of %d bytes; there are %d to %d", size, minFrame, maxFrame)
		}
		f.left = int(size)
	}
	return n, err
}
