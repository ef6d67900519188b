package main

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func trim(b []byte) string { return strings.TrimSpace(string(b)) }

// devices describes each virtio device, by its name below /sys/bus/virtio/devices:
// the type, the driver, the transport's device above it, the status, and the
// features as a number.
func devices(context.Context, args) (values, error) {
	v := values{}
	dirs, err := filepath.Glob("/sys/bus/virtio/devices/*")
	for _, d := range dirs {
		name := filepath.Base(d)
		for _, field := range []string{"device", "status"} {
			b, err := os.ReadFile(filepath.Join(d, field))
			if err != nil {
				return nil, err
			}
			v[name+"."+field] = trim(b)
		}
		if b, err := os.ReadFile(filepath.Join(d, "features")); err == nil {
			v[name+".features"] = bits(trim(b))
		}
		if to, err := os.Readlink(filepath.Join(d, "driver")); err == nil {
			v[name+".driver"] = filepath.Base(to)
		}
		if at, err := filepath.EvalSymlinks(d); err == nil {
			v[name+".parent"] = filepath.Base(filepath.Dir(at))
		}
	}
	return v, err
}

// bits turns sysfs's string of 64 digits, bit 0 first, into a number.
func bits(s string) string {
	n := uint64(0)
	for i, c := range s {
		if c == '1' && i < 64 {
			n |= 1 << i
		}
	}
	return "0x" + strconv.FormatUint(n, 16)
}

func cat(_ context.Context, a args) (values, error) {
	b, err := os.ReadFile(a["path"])
	return values{"base64": base64.StdEncoding.EncodeToString(b)}, err
}

func write(_ context.Context, a args) (values, error) {
	b, err := base64.StdEncoding.DecodeString(a["base64"])
	if err != nil {
		return nil, err
	}
	return nil, os.WriteFile(a["path"], b, 0o644)
}

// glob lists the files that match.
func glob(_ context.Context, a args) (values, error) {
	found, err := filepath.Glob(a["path"])
	return values{"paths": strings.Join(found, " ")}, err
}

// exists waits until a file is there, or with "not" until it is gone.
func exists(ctx context.Context, a args) (values, error) {
	_, not := a["not"]
	return nil, eventually(ctx, func() error {
		_, err := os.Stat(a["path"])
		switch {
		case not && err == nil:
			return os.ErrExist
		case not && os.IsNotExist(err):
			return nil
		}
		return err
	})
}

// kernelLog is the kernel's log, its last bytes, or the lines with a word.
func kernelLog(_ context.Context, a args) (values, error) {
	size, err := unix.Klogctl(bufferSize, nil)
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := unix.Klogctl(readAll, b)
	if err != nil {
		return nil, err
	}
	var kept []string
	for line := range strings.Lines(string(b[:n])) {
		if strings.Contains(strings.ToLower(line), strings.ToLower(a["has"])) {
			kept = append(kept, line)
		}
	}
	text := strings.Join(kept, "")
	if most := 16 << 10; len(text) > most {
		text = text[len(text)-most:]
	}
	return values{"text": text}, nil
}

// drain waits until the serial port has sent everything.
func drain() { unix.IoctlSetInt(int(os.Stdout.Fd()), unix.TCSBRK, 1) }

func powerOff(_ context.Context, a args) (values, error) {
	if _, no := a["nosync"]; !no {
		unix.Sync()
	}
	drain()
	return nil, unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func reboot(context.Context, args) (values, error) {
	unix.Sync()
	drain()
	return nil, unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// panicNow ends the first process, which no kernel survives.
func panicNow(context.Context, args) (values, error) {
	drain()
	os.Exit(1)
	return nil, nil
}

// sleep lets time pass on the guest's clock.
func sleep(_ context.Context, a args) (values, error) {
	ms, err := a.number("ms", 0)
	time.Sleep(time.Duration(ms) * time.Millisecond)
	return nil, err
}

// dmi describes the SMBIOS tables: the identity's fields, and the strings of the
// structures of one type.
func dmi(context.Context, args) (values, error) {
	v := values{}
	files, _ := filepath.Glob("/sys/class/dmi/id/*")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			v[filepath.Base(f)] = trim(b)
		}
	}
	raw, _ := filepath.Glob("/sys/firmware/dmi/entries/*/raw")
	for _, f := range raw {
		if b, err := os.ReadFile(f); err == nil {
			v["entry."+filepath.Base(filepath.Dir(f))] = base64.StdEncoding.EncodeToString(b)
		}
	}
	return v, nil
}
