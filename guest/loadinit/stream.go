package main

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

var configure = sync.OnceValue(func() error { return eth0("10.77.0.2", "255.255.255.0") })

func tcp(words []string) (tally, error) {
	n, err := numbers(words, 2)
	if err != nil || len(words) != 4 {
		return tally{}, fmt.Errorf("tcp: %q: %w", words, err)
	}
	if err := configure(); err != nil {
		return tally{}, err
	}
	c, err := net.DialTimeout("tcp4", words[1], 10*time.Second)
	if err != nil {
		return tally{}, err
	}
	defer c.Close()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return tally{}, err
	}
	defer f.Close()
	return exercise(raw(f.Fd()), words[0], n[0], time.Duration(n[1])*time.Millisecond) // Fd makes it block
}

func vsock(words []string) (tally, error) {
	n, err := numbers(words, 3)
	if err != nil || len(words) != 4 {
		return tally{}, fmt.Errorf("vsock: %q: %w", words, err)
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return tally{}, err
	}
	if err := unix.Connect(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: uint32(n[0])}); err != nil {
		return tally{}, fmt.Errorf("connect to port %d: %w", n[0], err)
	}
	defer unix.Close(fd)
	return exercise(raw(fd), words[0], n[1], time.Duration(n[2])*time.Millisecond)
}

// exercise sends, receives, or sends and waits for the same back.
func exercise(c io.ReadWriter, how string, size int, limit time.Duration) (t tally, err error) {
	buf := make([]byte, size)
	begin := time.Now()
	for time.Since(begin) < limit {
		n := size
		switch how {
		case "tx":
			_, err = c.Write(buf)
		case "rx":
			n, err = c.Read(buf)
		case "ping":
			if _, err = c.Write(buf); err == nil {
				_, err = io.ReadFull(c, buf)
			}
		default:
			err = fmt.Errorf("%q is none of tx, rx and ping", how)
		}
		if err != nil {
			return t, err
		}
		t.ops++
		t.bytes += int64(n)
	}
	t.took = time.Since(begin)
	return t, nil
}

// ping sends echo requests, each when the last one is back.
func ping(words []string) (t tally, err error) {
	n, err := numbers(words, 2)
	if err != nil || len(words) != 3 {
		return t, fmt.Errorf("icmp: %q: %w", words, err)
	}
	if err := configure(); err != nil {
		return t, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return t, err
	}
	defer unix.Close(fd)
	to := &unix.SockaddrInet4{}
	copy(to.Addr[:], net.ParseIP(words[0]).To4())
	if err := unix.Connect(fd, to); err != nil {
		return t, err
	}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
	m, back := make([]byte, max(8, n[0])), make([]byte, 65536)
	begin, limit := time.Now(), time.Duration(n[1])*time.Millisecond
	for seq := uint16(0); time.Since(begin) < limit; seq++ {
		m[0], m[2], m[3], m[4], m[6], m[7] = 8, 0, 0, 77, byte(seq>>8), byte(seq)
		sum := checksum(m)
		m[2], m[3] = byte(sum>>8), byte(sum)
		if _, err := raw(fd).Write(m); err != nil {
			return t, err
		}
		for {
			k, err := raw(fd).Read(back)
			if err != nil {
				return t, fmt.Errorf("no answer to request %d: %w", seq, err)
			}
			if k == 20+len(m) && back[20] == 0 && back[24] == 77 && back[26] == byte(seq>>8) && back[27] == byte(seq) {
				break
			}
		}
		t.ops++
		t.bytes += int64(len(m))
	}
	t.took = time.Since(begin)
	return t, nil
}

func checksum(m []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(m); i += 2 {
		sum += uint32(m[i])<<8 | uint32(m[i+1])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// eth0 gives the first card its address and sets it up.
func eth0(ip, mask string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, a := range []struct {
		what uint
		ip   string
	}{{unix.SIOCSIFADDR, ip}, {unix.SIOCSIFNETMASK, mask}, {unix.SIOCSIFFLAGS, ""}} {
		r, err := unix.NewIfreq("eth0")
		if err != nil {
			return err
		}
		if a.ip == "" {
			r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		} else if err := r.SetInet4Addr(net.ParseIP(a.ip).To4()); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, a.what, r); err != nil {
			return fmt.Errorf("eth0: ioctl %s: %w", strconv.FormatUint(uint64(a.what), 16), err)
		}
	}
	return nil
}
