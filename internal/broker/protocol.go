// Package broker connects to Unix sockets for a process that may not: a program,
// mayfly-broker, that was started before hands it each connection as a descriptor
// (SCM_RIGHTS). It connects to the sockets that it was started with, and to no other.
package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

// Program is the broker's name.
const Program = "mayfly-broker"

// socketFD is where the program has its end of a SOCK_SEQPACKET socket, on which it gets
// a message for each connection and answers it:
//
//	request:  u32 number, u32 peer, u32 port
//	answer:   u32 number of the request, u32 errno; where that is 0, with one descriptor
//
// Numbers are in the host's byte order. The program ends when the other end is closed.
const (
	socketFD    = 3
	requestSize = 12
	answerSize  = 8
)

// MaxPeers is the most sockets of a broker.
const MaxPeers = 64

// request asks for a connection.
type request struct{ number, peer, port uint32 }

func (r request) bytes() []byte {
	b := binary.NativeEndian.AppendUint32(make([]byte, 0, requestSize), r.number)
	b = binary.NativeEndian.AppendUint32(b, r.peer)
	return binary.NativeEndian.AppendUint32(b, r.port)
}

func parseRequest(b []byte) (r request, ok bool) {
	if len(b) != requestSize {
		return r, false
	}
	u32 := binary.NativeEndian.Uint32
	return request{u32(b), u32(b[4:]), u32(b[8:])}, true
}

func answer(number uint32, e unix.Errno) []byte {
	b := binary.NativeEndian.AppendUint32(make([]byte, 0, answerSize), number)
	return binary.NativeEndian.AppendUint32(b, uint32(e))
}

var errProtocol = errors.New("the answer makes no sense")

// parseAnswer returns the descriptor of the answer to request number. flags are those of
// recvmsg(2). Descriptors that are not the answer's are closed.
func parseAnswer(b, control []byte, flags int, number uint32) (fd int, err error) {
	fds := descriptors(control)
	defer func() {
		for _, f := range fds {
			if f != fd {
				unix.Close(f)
			}
		}
	}()
	if len(b) != answerSize || binary.NativeEndian.Uint32(b) != number || flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0 {
		return -1, errProtocol
	}
	switch e := unix.Errno(binary.NativeEndian.Uint32(b[4:])); {
	case e != 0 && len(fds) == 0:
		return -1, e
	case e == 0 && len(fds) == 1:
		return fds[0], nil
	}
	return -1, errProtocol
}

// descriptors are those that came with a message.
func descriptors(control []byte) (fds []int) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for i := range messages {
		if some, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, some...)
		}
	}
	return fds
}

// Prefixes of the program's arguments, one for each peer.
const (
	argSocket = "socket:"
	argPorts  = "ports:"
)

func peerArg(p virtio.Peer) string {
	if p.Ports {
		return argPorts + p.Path
	}
	return argSocket + p.Path
}

// parsePeers reads the program's arguments.
func parsePeers(args []string) (peers []virtio.Peer, err error) {
	if len(args) == 0 || len(args) > MaxPeers {
		return nil, fmt.Errorf("%d sockets: 1 to %d are possible", len(args), MaxPeers)
	}
	for _, a := range args {
		path, isSocket := strings.CutPrefix(a, argSocket)
		ports, isPorts := strings.CutPrefix(a, argPorts)
		switch {
		case isSocket && path != "":
			peers = append(peers, virtio.Peer{Path: path})
		case isPorts && ports != "":
			peers = append(peers, virtio.Peer{Path: ports, Ports: true})
		default:
			return nil, fmt.Errorf("argument %q: expected %sPATH or %sPATH", a, argSocket, argPorts)
		}
	}
	return peers, nil
}
