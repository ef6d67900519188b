package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// random reads from the hardware generator and returns the bytes' hash and how many
// of the 256 values are among them.
func random(_ context.Context, a args) (values, error) {
	n, err := a.number("len", 4096)
	if err != nil {
		return nil, err
	}
	v := values{}
	for _, name := range []string{"rng_current", "rng_available"} {
		b, err := os.ReadFile("/sys/class/misc/hw_random/" + name)
		if err != nil {
			return nil, err
		}
		v[name] = trim(b)
	}
	f, err := os.Open("/dev/hwrng")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, min(n, 1<<24))
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, err
	}
	seen := map[byte]bool{}
	for _, c := range b {
		seen[c] = true
	}
	sum := sha256.Sum256(b)
	v["sha256"], v["distinct"] = hex.EncodeToString(sum[:]), strconv.Itoa(len(seen))
	return v, nil
}

// port finds the virtio-serial port of that name; it may still be on its way.
func port(ctx context.Context, a args) (v values, err error) {
	err = eventually(ctx, func() error {
		found, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, f := range found {
			if b, err := os.ReadFile(f); err == nil && trim(b) == a["name"] {
				v = values{"path": "/dev/" + filepath.Base(filepath.Dir(f))}
				return nil
			}
		}
		return fmt.Errorf("no port is named %q", a["name"])
	})
	return v, err
}

// winsize waits until the terminal has the size cols x rows; without them it
// returns the size.
func winsize(ctx context.Context, a args) (v values, err error) {
	f, err := os.OpenFile(a["path"], os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = eventually(ctx, func() error {
		w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return err
		}
		v = values{"cols": strconv.Itoa(int(w.Col)), "rows": strconv.Itoa(int(w.Row))}
		if want, ok := a["cols"]; ok && (want != v["cols"] || a["rows"] != v["rows"]) {
			return fmt.Errorf("%s has %sx%s", a["path"], v["cols"], v["rows"])
		}
		return nil
	})
	return v, err
}

// watchdog opens the watchdog, sets its timeout in seconds and leaves it, fed
// once, unless "stop" is given. Its file stays open: closing it would be visible.
func watchdog(_ context.Context, a args) (values, error) {
	f, err := os.OpenFile("/dev/watchdog0", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	v := values{}
	if b, err := os.ReadFile("/sys/class/watchdog/watchdog0/identity"); err == nil {
		v["identity"] = trim(b)
	}
	n, err := a.number("timeout", 0)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		seconds := int32(n)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.WDIOC_SETTIMEOUT, uintptr(unsafe.Pointer(&seconds))); errno != 0 {
			return v, fmt.Errorf("set timeout: %w", errno)
		}
		v["timeout"] = strconv.Itoa(int(seconds))
	}
	if _, err := f.Write([]byte{0}); err != nil {
		return v, fmt.Errorf("feed: %w", err)
	}
	if _, stop := a["stop"]; stop {
		if _, err := f.Write([]byte("V")); err != nil {
			return v, err
		}
		return v, f.Close()
	}
	open = append(open, f)
	return v, nil
}

// hold opens a port or terminal, makes the latter raw, and leaves it open, so that
// what comes early is neither echoed nor cut into lines.
func hold(_ context.Context, a args) (values, error) {
	f, err := openFile(a["path"])
	if err == nil {
		open = append(open, f.File)
	}
	return nil, err
}

// open keeps files from being closed by the garbage collector.
var open []*os.File
