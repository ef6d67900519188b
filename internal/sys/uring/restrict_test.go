package uring

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func restricted(t *testing.T, files ...int32) *Ring {
	t.Helper()
	r, err := New(4, Options{Cooperative: true, Files: files})
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func fileOf(t *testing.T, content string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// result makes one request.
func result(t *testing.T, r *Ring, prepare func(*SQE)) int32 {
	t.Helper()
	prepare(r.Next())
	if err := r.Submit(1); err != nil {
		t.Fatal(err)
	}
	var c CQE
	if !r.Pop(&c) {
		t.Fatal("no completion")
	}
	return c.Res
}

// A restricted ring does what disks need, with registered files.
func TestRestrictedRingServesAFile(t *testing.T) {
	f := fileOf(t, "0123456789")
	r := restricted(t, int32(f.Fd()))
	b := make([]byte, 4)
	v := []unix.Iovec{{Base: &b[0], Len: 2}, {Base: &b[2], Len: 2}}
	if res := result(t, r, func(e *SQE) { e.Readv(0, v, 3, 0) }); res != 4 || string(b) != "3456" {
		t.Errorf("read: %d, %q", res, b)
	}
	copy(b, "abcd")
	for _, v := range [][]unix.Iovec{v, v[:1]} {
		if res := result(t, r, func(e *SQE) { e.Writev(0, v, 0, unix.RWF_DSYNC) }); int(res) != 2*len(v) {
			t.Errorf("write: %d", res)
		}
	}
	if res := result(t, r, func(e *SQE) { e.Fdatasync(0) }); res != 0 {
		t.Errorf("sync: %d", res)
	}
	if res := result(t, r, func(e *SQE) { e.CancelAll() }); res != 0 && res != -int32(unix.ENOENT) && res != -int32(unix.EINVAL) {
		t.Errorf("cancel: %d", res)
	}
	other := fileOf(t, "another")
	if err := r.ReplaceFile(0, int(other.Fd())); err != nil {
		t.Fatal(err)
	}
	if res := result(t, r, func(e *SQE) { e.Readv(0, v[:1], 0, 0) }); res != 2 || string(b[:2]) != "an" {
		t.Errorf("read of another file: %d, %q", res, b)
	}
	if err := r.ReplaceFile(0, -1); err != nil {
		t.Fatal(err)
	}
	if res := result(t, r, func(e *SQE) { e.Readv(0, v[:1], 0, 0) }); res != -int32(unix.EBADF) {
		t.Errorf("read of no file: %d", res)
	}
}

// Who has only the ring's descriptor opens nothing with it and reaches no other file.
func TestRestrictedRingRefuses(t *testing.T) {
	f := fileOf(t, "content")
	r := restricted(t, int32(f.Fd()))
	const (
		opSendmsg, opRecvmsg, opConnect, opAccept, opOpenat, opClose, opStatx, opOpenat2, opUnlinkat, opSocket, opUringCmd = 9, 10, 16, 13, 18, 19, 21, 28, 36, 45, 46
		opPoll, opMsgRing                                                                                                  = 6, 40
	)
	for _, op := range []uint8{opNop, opReadFixed, opFallocate, opSendmsg, opRecvmsg, opConnect, opAccept, opOpenat, opClose, opStatx, opOpenat2, opUnlinkat, opSocket, opUringCmd, opPoll, opMsgRing} {
		if res := result(t, r, func(e *SQE) { e.opcode = op }); res != -int32(unix.EACCES) {
			t.Errorf("operation %d: %d", op, res)
		}
	}
	b := make([]byte, 4)
	v := []unix.Iovec{{Base: &b[0], Len: 4}}
	if res := result(t, r, func(e *SQE) { e.Readv(int(f.Fd()), v, 0, 0); e.flags = 0 }); res != -int32(unix.EACCES) {
		t.Errorf("a file that is not registered: %d", res)
	}
	if res := result(t, r, func(e *SQE) { e.Readv(1, v, 0, 0) }); res != -int32(unix.EBADF) {
		t.Errorf("index 1: %d", res)
	}
	if err := r.RegisterBuffers([]unix.Iovec{{Base: (*byte)(unsafe.Pointer(&b[0])), Len: 4}}); !errors.Is(err, unix.EACCES) {
		t.Errorf("buffers: %v", err)
	}
	if err := r.register(registerRestrictions, nil, 0); err == nil {
		t.Error("the restrictions were changed")
	}
}

func TestDiscard(t *testing.T) {
	f := fileOf(t, "content")
	r := restricted(t, int32(f.Fd()))
	r.Next().Fdatasync(0)
	r.Next().Fdatasync(0)
	r.Discard()
	if n := r.Pending(); n != 0 {
		t.Errorf("%d are left", n)
	}
	if res := result(t, r, func(e *SQE) { e.Fdatasync(0) }); res != 0 {
		t.Error(res)
	}
	if r.Ready() {
		t.Error("another completion")
	}
}
