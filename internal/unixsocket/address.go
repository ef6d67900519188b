package unixsocket

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxPath is the longest path of a socket in bytes: sun_path has 108, one of them
// for the NUL.
const MaxPath = 107

// CheckPath reports why path cannot name a socket file. longest is the longest suffix
// that is appended to it later, in bytes. Abstract names (@NAME) are refused: they
// have no permissions, so every process of the network namespace could connect.
func CheckPath(path string, longest int) error {
	if strings.HasPrefix(path, "@") {
		return fmt.Errorf("%q: abstract sockets (@NAME) have no permissions and are not supported here; give a path, or ./%s for a file of that name", path, path)
	}
	return checkText(path, longest)
}

// CheckPeer reports why path cannot name a socket to connect to: a file, or @NAME,
// an abstract socket.
func CheckPeer(path string) error {
	if path == "@" {
		return errors.New("\"@\": an abstract socket needs a name after the @")
	}
	return checkText(path, 0)
}

func checkText(path string, longest int) error {
	switch most := MaxPath - longest; {
	case path == "":
		return errors.New("empty; give the path of a socket")
	case strings.IndexByte(path, 0) >= 0:
		return fmt.Errorf("%q: a path has no NUL bytes", path)
	case len(path) > most:
		return fmt.Errorf("%q: %d bytes; the path of a socket has at most %d here: take a shorter one, or one relative to the working directory", path, len(path), most)
	}
	return nil
}

// Connect connects fd to the socket that path names, as CheckPeer allows it.
func Connect(fd int, path string) error {
	if err := CheckPeer(path); err != nil {
		return err
	}
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path})
}
