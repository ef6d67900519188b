package monitor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/companion"
	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

// logProgram serves the listener of a process in the mode Log: in the same process, a
// thread that waits for the listener could hold what the listener needs.
const logProgram = "mayfly-syscalls"

// logger is the way to that program: a socket for messages of 8 bytes, a kind and a
// number, both u32 in the machine's byte order.
type logger struct{ fd int }

// Kinds of messages.
const (
	logProcess = 1 // the number is the process's id; the listener comes with it
	logVCPU    = 2 // the number is the id of a vCPU's thread
)

const messageSize = 8

func message(kind, number int) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(kind))
	return binary.NativeEndian.AppendUint32(b, uint32(number))
}

func startLogger() (*logger, error) {
	path := companion.Find(logProgram)
	if path == "" {
		return nil, errors.New("the program " + logProgram + ", which logs system calls, is neither in the directory of this program nor in PATH: install it")
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	far := os.NewFile(uintptr(fds[1]), logProgram)
	defer far.Close()
	p, err := os.StartProcess(path, []string{logProgram}, &os.ProcAttr{Dir: "/", Env: []string{}, Files: []*os.File{nil, os.Stderr, os.Stderr, far}})
	if err != nil {
		unix.Close(fds[0])
		return nil, err
	}
	_ = p.Release() // it ends with this process
	return &logger{fds[0]}, nil
}

// seal installs a filter that passes on to the program what a vCPU's thread may not do:
// the program knows what other threads may.
func (l *logger) seal() error {
	policy := vcpuPolicy(os.Getpid())
	policy.Otherwise = seccomp.Notify
	prog, err := policy.Compile()
	if err != nil {
		return err
	}
	listener, err := seccomp.InstallNotify(prog)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	return os.NewSyscallError("sendmsg", unix.Sendmsg(l.fd, message(logProcess, os.Getpid()), unix.UnixRights(listener), nil, 0))
}

func (l *logger) vcpu() error {
	return os.NewSyscallError("sendmsg", unix.Sendmsg(l.fd, message(logVCPU, unix.Gettid()), nil, nil, 0))
}

// ServeLog is the program's side: socket is the other end of the logger's. It returns
// when the process has ended.
func ServeLog(socket int, report func(string)) error {
	b, control := make([]byte, messageSize), make([]byte, unix.CmsgSpace(4))
	n, nc, flags, _, err := unix.Recvmsg(socket, b, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return os.NewSyscallError("recvmsg", err) // n == 0: the process has ended before
	}
	listener, err := oneDescriptor(control[:nc])
	if err != nil || n != messageSize || flags&unix.MSG_CTRUNC != 0 || binary.NativeEndian.Uint32(b) != logProcess {
		return fmt.Errorf("the first message is not that of a process: %x, %w", b[:n], err)
	}
	s := logServer{socket: socket, report: report, process: processPolicy(int(binary.NativeEndian.Uint32(b[4:]))), seen: map[string]bool{}}
	return seccomp.Serve(listener, s.see)
}

func oneDescriptor(control []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("%d control messages, %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("%d descriptors, %w", len(fds), err)
	}
	return fds[0], nil
}

// maxLines bounds what is reported.
const maxLines = 1000

type logServer struct {
	socket  int
	report  func(string)
	process seccomp.Policy
	vcpus   []int
	seen    map[string]bool
}

// see reports a call that would have killed the process.
func (s *logServer) see(n seccomp.Notification) {
	b := make([]byte, messageSize)
	for {
		size, _, _, _, err := unix.Recvmsg(s.socket, b, nil, unix.MSG_DONTWAIT)
		if err != nil || size != messageSize {
			break
		}
		if binary.NativeEndian.Uint32(b) == logVCPU {
			s.vcpus = append(s.vcpus, int(binary.NativeEndian.Uint32(b[4:])))
		}
	}
	who := "a vCPU's thread"
	if !slices.Contains(s.vcpus, n.Thread) {
		if s.process.Allows(n.Call, n.Args) {
			return
		}
		who = "a thread"
	}
	what := describe(n)
	if key := who + what; !s.seen[key] && len(s.seen) < maxLines {
		s.seen[key] = true
		s.report(fmt.Sprintf("confinement: %s called %s, which is not allowed", who, what))
	}
}

// describe names the call, and the argument by which some are told apart.
func describe(n seccomp.Notification) string {
	name := seccomp.Name(n.Call)
	arg := -1
	switch n.Call {
	case unix.SYS_IOCTL, unix.SYS_FCNTL, unix.SYS_IO_URING_REGISTER:
		arg = 1
	case unix.SYS_PRCTL, unix.SYS_CLONE, unix.SYS_SOCKET, unix.SYS_ARCH_PRCTL, unix.SYS_TGKILL:
		arg = 0
	case unix.SYS_MMAP, unix.SYS_MPROTECT:
		arg = 2
	}
	if arg < 0 {
		return name
	}
	return fmt.Sprintf("%s (%s%#x)", name, strings.Repeat("_, ", arg), n.Args[arg])
}
