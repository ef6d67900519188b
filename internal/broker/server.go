package broker

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/confine"
	"github.com/mayfly-vm/mayfly/internal/landlock"
	"github.com/mayfly-vm/mayfly/internal/seccomp"
	"github.com/mayfly-vm/mayfly/internal/unixsocket"
	"github.com/mayfly-vm/mayfly/virtio"
)

// place is where a peer's socket is: a name in a directory that is open.
type place struct {
	dir   int // -1: the name is an abstract socket's
	name  string
	ports bool
	err   unix.Errno // why the directory could not be opened; 0: it was
}

func find(p virtio.Peer) place {
	if strings.HasPrefix(p.Path, "@") {
		return place{dir: -1, name: p.Path, ports: p.Ports}
	}
	to := place{name: filepath.Base(p.Path), ports: p.Ports}
	var err error
	if to.dir, err = unix.Open(filepath.Dir(p.Path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		to.dir, to.err = -1, err.(unix.Errno)
	}
	return to
}

// connect returns a socket that is connected.
func (p *place) connect(port uint32) (int, error) {
	name := p.name
	if p.ports {
		name += "_" + strconv.FormatUint(uint64(port), 10)
	}
	if p.err != 0 {
		return -1, p.err
	}
	if p.dir >= 0 {
		if err := unix.Fchdir(p.dir); err != nil {
			return -1, err
		}
		if strings.HasPrefix(name, "@") { // a file, not an abstract socket
			name = "./" + name
		}
	}
	return unixsocket.Dial(name)
}

// Policy is the filter of the program's system calls, in the process pid.
func Policy(pid int) seccomp.Policy {
	rules := append(confine.ProcessCalls(pid), seccomp.Only(unix.SYS_SOCKET, 0, unix.AF_UNIX))
	rules = append(rules, seccomp.Calls(unix.SYS_CONNECT, unix.SYS_FCHDIR, unix.SYS_RECVMSG, unix.SYS_SENDMSG)...)
	return seccomp.Policy{Rules: rules, Otherwise: seccomp.KillProcess}
}

// openFiles is the program's limit: a directory for each peer, and few of its own.
const openFiles = MaxPeers + 32

// Main is the program: it confines itself and serves until its machine's process ends.
func Main(args []string) error {
	peers, err := parsePeers(args)
	if err != nil {
		return err
	}
	unix.CloseOnExec(socketFD)
	places := make([]place, len(peers))
	scope := true
	for i, p := range peers {
		places[i] = find(p)
		scope = scope && !strings.HasPrefix(p.Path, "@")
	}
	err = confine.Companion(confine.Rights{
		Limits: confine.Limits{OpenFiles: openFiles}, Keep: []int{socketFD},
		Files: landlock.Rules{Scope: scope}, Calls: Policy,
	})
	if err != nil {
		return err
	}
	return serve(socketFD, places)
}

// serve answers requests until the other end is closed.
func serve(socket int, places []place) error {
	b := make([]byte, requestSize+1)
	for {
		n, _, _, _, err := unix.Recvmsg(socket, b, nil, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("recvmsg: %w", err)
		case n == 0:
			return nil
		}
		r, ok := parseRequest(b[:n])
		if !ok || int64(r.peer) >= int64(len(places)) {
			return fmt.Errorf("a request of %d bytes for socket %d", n, r.peer)
		}
		if err := reply(socket, r.number, &places[r.peer], r.port); err != nil {
			return err
		}
	}
}

func reply(socket int, number uint32, to *place, port uint32) error {
	fd, err := to.connect(port)
	var rights []byte
	var errno unix.Errno
	if err == nil {
		rights = unix.UnixRights(fd)
		defer unix.Close(fd)
	} else if e, ok := err.(unix.Errno); ok {
		errno = e
	} else { // a name that is too long
		errno = unix.ENAMETOOLONG
	}
	for {
		err := unix.Sendmsg(socket, answer(number, errno), rights, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil, unix.EPIPE, unix.ECONNRESET:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("sendmsg: %w", err)
		}
	}
}
