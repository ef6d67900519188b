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

// lengthSize is that of the length in front of a frame, in bytes.
const lengthSize = 4

// maxStations is how many Ethernet addresses a machine may send from: a bridge and
// containers in it have some. The library keeps each for ever.
const maxStations = 1024

// frames is a connection whose frames are looked at on the way: the library takes
// memory for what the length says, expects an Ethernet header, and remembers each
// sender.
type frames struct {
	net.Conn
	left int // bytes of the current frame that are still to come
	// A length u32, then the beginning of an Ethernet header: receiver, sender.
	head [lengthSize + 2*6]byte
	got  int // bytes of head that have come

	last     [6]byte
	stations map[[6]byte]struct{}
}

func newFrames(c net.Conn) net.Conn { return &frames{Conn: c, stations: map[[6]byte]struct{}{}} }

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
		if f.got++; f.got == lengthSize || f.got == len(f.head) {
			if err := f.check(); err != nil {
				return 0, err
			}
		}
	}
	return n, err
}

// check looks at the part of the head that has come.
func (f *frames) check() error {
	size := binary.BigEndian.Uint32(f.head[:])
	if f.got == lengthSize {
		if size < minFrame || size > maxFrame {
			return fmt.Errorf("usernet: a frame of %d bytes; there are %d to %d", size, minFrame, maxFrame)
		}
		return nil
	}
	if !f.sender([6]byte(f.head[lengthSize+6:])) {
		return fmt.Errorf("usernet: the machine sends from more than %d Ethernet addresses", maxStations)
	}
	f.left, f.got = int(size)-(len(f.head)-lengthSize), 0
	return nil
}

// sender tells whether one may send.
func (f *frames) sender(mac [6]byte) bool {
	if mac == f.last && len(f.stations) > 0 {
		return true
	}
	f.last = mac
	if _, known := f.stations[mac]; !known && len(f.stations) == maxStations {
		return false
	}
	f.stations[mac] = struct{}{}
	return true
}
