package child

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/machine"
	"github.com/mayfly-vm/mayfly/virtio"
)

// pair is both ends of a socket.
func pair(t testing.TB) (program, machine *Conn) {
	t.Helper()
	program, far, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(far.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	far.Close()
	if err != nil {
		t.Fatal(err)
	}
	if machine, err = NewConn(fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close(); machine.Close() })
	return program, machine
}

func TestMessages(t *testing.T) {
	program, machine := pair(t)
	files := make([]int, MaxFDs)
	for i := range files {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = int(f.Fd())
	}
	sent := make(chan error)
	text := strings.Repeat("x", MaxMessage/2) // more than the socket takes at once
	go func() {
		for _, fds := range [][]int{nil, files[:1], files} {
			m := &Message{Number: 7, Method: New, FDs: fds}
			if err := errors.Join(m.Pack(text), program.Send(m, time.Time{})); err != nil {
				sent <- err
			}
		}
		program.Finish()
		close(sent)
	}()
	for _, n := range []int{0, 1, MaxFDs} {
		m, err := machine.ReceiveFDs()
		if err != nil || m.Number != 7 || m.Method != New || len(m.Body) != len(text)+2 || len(m.FDs) != n {
			t.Fatalf("%v, %+v", err, m)
		}
		for _, fd := range m.FDs {
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags != unix.FD_CLOEXEC {
				t.Errorf("descriptor %d: flags %#x, %v", fd, flags, err)
			}
		}
		closeAll(m.FDs)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if _, err := machine.ReceiveFDs(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if err := machine.Send(&Message{Method: Ended}, time.Time{}); err != nil {
		t.Error(err)
	}
	if m, err := program.Receive(); err != nil || m.Method != Ended {
		t.Errorf("%v, %+v", err, m)
	}
}

func TestSendIsBounded(t *testing.T) {
	program, _ := pair(t)
	m := &Message{}
	if err := errors.Join(m.Pack(strings.Repeat("x", MaxMessage))); err != nil {
		t.Fatal(err)
	}
	if err := program.Send(m, time.Time{}); err == nil {
		t.Error("a message that is too long was sent")
	}
	if err := program.Send(&Message{FDs: make([]int, MaxFDs+1)}, time.Time{}); err == nil {
		t.Error("too many descriptors were sent")
	}
	if err := m.Pack(strings.Repeat("x", MaxMessage/2)); err != nil {
		t.Fatal(err)
	}
	if err := program.Send(m, time.Now().Add(50*time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("to one that does not read: %v", err)
	}
}

func TestErrors(t *testing.T) {
	if Encode(nil) != nil || (*Error)(nil).Decode() != nil {
		t.Error("nil is no error")
	}
	config := &layout.ConfigError{Field: "Memory", Msg: "too little", Err: fs.ErrNotExist}
	device := virtio.DeviceErrorf("net 0", "no tap: %w", unix.EBUSY)
	for _, err := range []error{
		machine.ErrClosed, machine.ErrStarted, machine.ErrNotRunning, machine.ErrNoDevice, errors.ErrUnsupported, context.Canceled,
		context.DeadlineExceeded, &fs.PathError{Op: "open", Path: "disk", Err: unix.ENOENT}, unix.EMFILE, config, device, errors.Join(device, io.EOF),
	} {
		got := Encode(err).Decode()
		if got.Error() != err.Error() {
			t.Errorf("%v, want %v", got, err)
		}
		for _, is := range []error{
			machine.ErrClosed, machine.ErrStarted, machine.ErrNotRunning, machine.ErrNoDevice, errors.ErrUnsupported, context.Canceled,
			context.DeadlineExceeded, fs.ErrNotExist, unix.EMFILE, unix.EBUSY,
		} {
			if errors.Is(got, is) != errors.Is(err, is) {
				t.Errorf("%v: Is %v: %v", err, is, errors.Is(got, is))
			}
		}
		var c *layout.ConfigError
		if errors.As(got, &c) != (err == error(config)) || c != nil && (c.Field != config.Field || got != error(c)) {
			t.Errorf("%#v", got)
		}
		var d *virtio.DeviceError
		if want := slices.Contains([]error{device}, err) || strings.Contains(err.Error(), "EOF"); errors.As(got, &d) != want || want && d.Device != "net 0" {
			t.Errorf("%#v", got)
		}
	}
}

// FuzzReceive: what the other end sends is a message or an error.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x04\x00\x00\x00null"))
	f.Add([]byte("\x0e\x00\x00\x00{\"number\": 99}"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x2e\x00\x00\x00{\"error\":{\"text\":\"a\",\"device\":\"b\"},\"body\":{}}"))
	f.Add([]byte("\x43\x00\x00\x00{\"method\":\"logged\",\"body\":{\"device\":\"d\",\"error\":{\"device\":\"y\"}}}"))
	f.Add([]byte("\x3a\x00\x00\x00{\"error\":{\"text\":\"a\",\"device\":\"b\",\"cause\":{\"is\":[\"closed\"]}}}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		program, machine := pair(t)
		go func() {
			_ = machine.file.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = machine.file.Write(b)
			machine.Close()
		}()
		for {
			m, err := program.Receive()
			if err != nil {
				return
			}
			var l Log
			var e End
			_, _ = json.Unmarshal(m.Body, &l), json.Unmarshal(m.Body, &e)
			for _, d := range []*Error{m.Error, l.Error, e.LostCause, e.Error} {
				if err := d.Decode(); (err == nil) != (d == nil) || err != nil && len(err.Error()) > 4*maxText {
					t.Errorf("%+v", d)
				}
			}
		}
	})
}
