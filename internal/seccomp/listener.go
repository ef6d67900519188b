package seccomp

import (
	"encoding/binary"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Notification is a system call that waits for its listener.
type Notification struct {
	Thread int // its id in the listener's PID namespace; 0: none
	Call   uintptr
	Args   [6]uint64
}

// Sizes of struct seccomp_notif {u64 id; u32 pid, flags; struct seccomp_data data} and of
// struct seccomp_notif_resp {u64 id; s64 val; s32 error; u32 flags}.
const (
	notifSize    = 80
	responseSize = 24
)

// Serve calls see for each call that waits for the listener, which then goes on as if
// there were no filter. It returns nil when no thread has the filter any more.
func Serve(listener int, see func(Notification)) error {
	poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(poll, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return os.NewSyscallError("poll", err)
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return nil
		}
		var notif [notifSize]byte // zeroes, or the kernel refuses
		if err := control(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&notif)); err != nil {
			if err == unix.EINTR || err == unix.ENOENT { // ended meanwhile
				continue
			}
			return os.NewSyscallError("SECCOMP_IOCTL_NOTIF_RECV", err)
		}
		see(notification(notif[:]))
		var response [responseSize]byte
		copy(response[:8], notif[:8])
		binary.NativeEndian.PutUint32(response[20:], unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE)
		if err := control(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&response)); err != nil && err != unix.ENOENT {
			return os.NewSyscallError("SECCOMP_IOCTL_NOTIF_SEND", err)
		}
	}
}

func notification(b []byte) Notification {
	n := Notification{
		Thread: int(binary.NativeEndian.Uint32(b[8:])),
		Call:   uintptr(binary.NativeEndian.Uint32(b[16:])),
	}
	for i := range n.Args {
		n.Args[i] = binary.NativeEndian.Uint64(b[32+8*i:])
	}
	return n
}

func control(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, e := syscall.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); e != 0 {
		return e
	}
	return nil
}
