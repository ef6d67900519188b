package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// vsock is a connected socket. Its calls block a thread each, which costs nothing
// that matters here.
type vsock int

func (s vsock) Read(p []byte) (int, error) {
	n, err := again(func() (int, error) { return unix.Read(int(s), p) })
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

func (s vsock) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = again(func() (int, error) { return unix.SendmsgN(int(s), p[n:], nil, nil, unix.MSG_NOSIGNAL) })
		n += max(m, 0)
	}
	return n, err
}

func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

func (s vsock) CloseWrite() error { return unix.Shutdown(int(s), unix.SHUT_WR) }

func (s vsock) Close() error { return unix.Close(int(s)) }

func dialVsock(addr string) (stream, error) {
	cid, port, _ := strings.Cut(addr, ":")
	c, err := strconv.ParseUint(cid, 10, 32)
	if err != nil {
		return nil, err
	}
	p, err := strconv.ParseUint(port, 10, 32)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, &unix.SockaddrVM{CID: uint32(c), Port: uint32(p)}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect: %w", err)
	}
	return vsock(fd), nil
}

func serveVsock(port uint32) (stream, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}); err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, 8); err != nil {
		return nil, err
	}
	say(fmt.Sprintf("serving %d\n", port))
	for {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		return vsock(c), err
	}
}
