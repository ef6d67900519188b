package seccomp

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/headertest"
)

// childDoes makes this test the process that a filter is for.
const childDoes = "MAYFLY_TEST_SECCOMP"

func TestMain(m *testing.M) {
	switch os.Getenv(childDoes) {
	case "":
		os.Exit(m.Run())
	case "allowed":
		underFilter(func() { unix.Getppid(); unix.Kill(0, 0) })
	case "forbidden":
		underFilter(func() { unix.Getpgrp() })
	case "argument":
		underFilter(func() { unix.Kill(0, 9) })
	case "notify":
		notify()
	case "mmap":
		underFilter(func() { _, _ = unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON) })
	}
	os.Exit(3)
}

// underFilter calls do in another thread than the one that installs the filter.
func underFilter(do func()) {
	p := denyList()
	prog, err := p.Compile()
	if err != nil {
		panic(err)
	}
	var sealed, begun, done sync.WaitGroup
	sealed.Add(1)
	begun.Add(1)
	done.Go(func() {
		runtime.LockOSThread()
		begun.Done()
		sealed.Wait()
		do()
	})
	begun.Wait()
	runtime.LockOSThread()
	if err := Install(prog, All); err != nil {
		panic(err)
	}
	sealed.Done()
	done.Wait()
	os.Exit(0)
}

// notify leaves a call to the listener, which it hands over on descriptor 3.
func notify() {
	p := denyList()
	p.Otherwise = Notify
	prog, err := p.Compile()
	if err != nil {
		panic(err)
	}
	listener, err := InstallNotify(prog)
	if err != nil {
		panic(err)
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		panic(err)
	}
	unix.Close(listener)
	if _, err := unix.Getpgid(0); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// denyList allows all but getpgid, kill with another signal than 0, and executable
// mappings.
func denyList() Policy {
	p := Policy{Otherwise: KillProcess}
	for nr := range uintptr(500) {
		switch nr {
		case unix.SYS_GETPGID, unix.SYS_GETPGRP:
		case unix.SYS_KILL:
			p.Rules = append(p.Rules, Only(nr, 1, 0))
		case unix.SYS_MMAP:
			p.Rules = append(p.Rules, Without(nr, 2, unix.PROT_EXEC))
		default:
			p.Rules = append(p.Rules, Calls(nr)...)
		}
	}
	return p
}

func TestInstall(t *testing.T) {
	for does, killed := range map[string]bool{"allowed": false, "forbidden": true, "argument": true, "mmap": true} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{childDoes + "=" + does}
		out, err := cmd.CombinedOutput()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if got := status.Signaled() && status.Signal() == unix.SIGSYS; got != killed || !killed && err != nil {
			t.Errorf("%s: %v %s", does, err, out)
		}
	}
}

// The program answers as Allows does, for random policies and calls.
func TestCompileAsAllows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		p := Policy{Otherwise: KillProcess}
		for range 1 + r.IntN(40) {
			rule := Rule{Call: uintptr(2 * r.IntN(20))}
			for range r.IntN(3) {
				c := Condition{Arg: r.IntN(3), Mask: []uint32{0, 1, 6}[r.IntN(3)]}
				for range 1 + r.IntN(4) {
					c.Values = append(c.Values, uint32(r.IntN(8)))
				}
				rule.When = append(rule.When, c)
			}
			p.Rules = append(p.Rules, rule)
		}
		vm := machine(t, &p)
		for range 200 {
			call, args := uintptr(r.IntN(42)), [6]uint64{}
			for i := range args {
				args[i] = uint64(r.IntN(8)) | uint64(r.IntN(2))<<40
			}
			want := uint32(KillProcess)
			if p.Allows(call, args) {
				want = uint32(Allow)
			}
			if got := run(t, vm, uint32(call), unix.AUDIT_ARCH_X86_64, args); got != want {
				t.Fatalf("call %d %x: %#x, want %#x by %+v", call, args, got, want, p)
			}
		}
	}
}

func TestOtherInterfaces(t *testing.T) {
	p := Policy{Rules: Calls(1), Otherwise: Notify}
	vm := machine(t, &p)
	for _, c := range []struct{ call, arch, want uint32 }{
		{1, unix.AUDIT_ARCH_X86_64, uint32(Allow)},
		{2, unix.AUDIT_ARCH_X86_64, uint32(Notify)},
		{1 | x32Bit, unix.AUDIT_ARCH_X86_64, uint32(KillProcess)},
		{1 << 31, unix.AUDIT_ARCH_X86_64, uint32(KillProcess)},
		{1, unix.AUDIT_ARCH_I386, uint32(KillProcess)},
	} {
		if got := run(t, vm, c.call, c.arch, [6]uint64{}); got != c.want {
			t.Errorf("call %#x by %#x: %#x, want %#x", c.call, c.arch, got, c.want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, p := range map[string]Policy{
		"allows all":  {Otherwise: Allow},
		"x32":         {Rules: Calls(x32Bit | 1)},
		"argument":    {Rules: []Rule{Only(1, 6, 0)}},
		"no value":    {Rules: []Rule{Only(1, 0)}},
		"many values": {Rules: []Rule{Only(1, 0, make([]uint32, 256)...)}},
		"long": {Rules: Calls(func() (l []uintptr) {
			for i := range uintptr(2000) {
				l = append(l, i)
			}
			return l
		}()...)},
	} {
		if _, err := p.Compile(); err == nil {
			t.Errorf("%s: compiled", name)
		}
	}
}

// Names are those of the kernel's header.
func TestNames(t *testing.T) {
	want := map[string]uint64{}
	for nr, name := range names {
		if name != "" {
			want["__NR_"+name] = uint64(nr)
		}
	}
	headertest.Compare(t, "asm/unistd_64.h", want)
	if Name(257) != "openat" || Name(1000) != "call 1000" {
		t.Error(Name(257), Name(1000))
	}
}

// A call that the policy leaves to its listener is seen there, and goes on.
func TestServe(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	far := os.NewFile(uintptr(ends[1]), "far end")
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{childDoes + "=notify"}
	cmd.ExtraFiles = []*os.File{far}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	far.Close()
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(ends[0], make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	var seen []Notification
	if err := Serve(fds[0], func(n Notification) { seen = append(seen, n) }); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if len(seen) != 1 || Name(seen[0].Call) != "getpgid" || seen[0].Args[0] != 0 || seen[0].Thread == 0 {
		t.Errorf("%+v", seen)
	}
}

func machine(t *testing.T, p *Policy) *bpf.VM {
	t.Helper()
	prog, err := p.Compile()
	if err != nil {
		t.Fatal(err)
	}
	var list []bpf.Instruction
	for _, i := range prog {
		list = append(list, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K}.Disassemble())
	}
	vm, err := bpf.NewVM(list)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

// run runs the program on a struct seccomp_data, whose 32-bit halves this virtual machine
// wants in network order.
func run(t *testing.T, vm *bpf.VM, call, arch uint32, args [6]uint64) uint32 {
	t.Helper()
	data := binary.BigEndian.AppendUint32(nil, call)
	data = binary.BigEndian.AppendUint32(data, arch)
	data = append(data, make([]byte, 8)...)
	for _, a := range args {
		data = binary.BigEndian.AppendUint32(data, uint32(a))
		data = binary.BigEndian.AppendUint32(data, uint32(a>>32))
	}
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}
