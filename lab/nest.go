package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly/lab/internal/link"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// Limits for the nest itself, generous since other work may take the
// processors away: on an idle machine it is up after a few seconds.
const (
	bootLimit = 3 * time.Minute
	// nudgeEach is how long a sleep from which nothing else wakes the nest may last.
	nudgeEach = 200 * time.Millisecond
	// endLimit is what the nest has beyond the program's time to kill it and
	// to bring its files back.
	endLimit = 2 * time.Minute
)

// runNest runs the job in the nest.
func runNest(ctx context.Context, j Job, p Place) (Result, error) {
	r := Result{Where: p, ExitCode: -1, Files: map[string][]byte{}}
	dir, err := os.MkdirTemp("", "mayfly-nest-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	kernel, err := kernels.Get(ctx, cmp.Or(j.HostKernel, kernels.Debian612Cloud), os.Stderr)
	if err != nil {
		return r, err
	}
	initrd := filepath.Join(dir, "initrd")
	if err := writeNestInitrd(ctx, initrd, j, kernel); err != nil {
		return r, err
	}
	socket := filepath.Join(dir, "link")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return r, fmt.Errorf("lab: %w", err)
	}
	defer listener.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	console := newOutput(j.Console, nil)
	cmd, err := qemu(ctx, j, kernel, initrd, socket)
	if err != nil {
		return r, err
	}
	monitor := filepath.Join(dir, "monitor")
	cmd.Args = append(cmd.Args, "-monitor", "unix:"+monitor+",server=on,wait=off")
	cmd.Stdout, cmd.Stderr = console.stdout(), console.stderr()
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return r, fmt.Errorf("lab: %w", err)
	}
	dead := make(chan struct{})
	go func() {
		cmd.Wait()
		listener.Close()
		close(dead)
	}()

	out := newOutput(j.Stdout, j.Stderr)
	// An error about a nest that gives no sign of life has the processor's registers.
	// Reading them ends the emulator, which must not count as the cause.
	var gaveUp atomic.Pointer[error]
	var asking sync.WaitGroup
	giveUp := func(err error) {
		asking.Add(1)
		defer asking.Done()
		gaveUp.Store(&err)
		console.stderr().Write(registers(monitor))
		cancel(err)
	}
	s := session{job: j, out: out, result: &r, start: start, giveUp: giveUp}
	s.watch(bootLimit, "did not come up")
	end, err := s.talk(listener)
	s.stop()
	cause := context.Cause(ctx)
	if e := gaveUp.Load(); e != nil && cause == nil && err != nil {
		asking.Wait()
		cause = *e
	}
	grace := time.Duration(0)
	if err != nil && cause == nil {
		grace = 5 * time.Second // the connection broke first: the emulator is ending by itself
	}
	endProcess(cmd.Process, dead, grace)
	r.Output, r.Console = out.bytes(), console.bytes()
	if cause == nil && err != nil {
		cause = failure{fmt.Sprintf("the emulator ended (%v) before the program had: %v", cmd.ProcessState, err)}
	}
	err = r.finish(j, end, cause)
	return r, err
}

// endProcess kills a process that has not ended after the grace, and returns when
// dead is closed.
func endProcess(p *os.Process, dead <-chan struct{}, grace time.Duration) {
	select {
	case <-dead:
	case <-time.After(grace):
		p.Kill()
	}
	<-dead
}

// finish fills in how the program ended. cause is why there is no such end: of type
// failure where the nest has failed.
func (r *Result) finish(j Job, end link.Ending, cause error) error {
	switch {
	case cause != nil && !errors.As(cause, new(failure)):
		return cause
	case cause != nil:
		return &NestError{What: cause.Error(), Console: r.Console}
	case end.Fault != "":
		return &NestError{What: end.Fault, Console: r.Console}
	}
	r.ExitCode, r.Elapsed = end.Code, end.Elapsed
	if end.TimedOut {
		return fmt.Errorf("lab: %s %s was killed after %v: %w%s", filepath.Base(j.Program), strings.Join(j.Args, " "), j.Timeout, ErrTimeout, consoleTail(r.Console))
	}
	return nil
}

// qemu is the emulator's command. One processor only: with two, this emulated
// SVM hangs now and then.
func qemu(ctx context.Context, j Job, k kernels.Kernel, initrd, socket string) (*exec.Cmd, error) {
	const name = "qemu-system-x86_64"
	if _, err := exec.LookPath(name); err != nil {
		return nil, fmt.Errorf("lab: %w; the nest needs it: sudo apt-get install qemu-system-x86", err)
	}
	memory := j.Memory
	if memory == 0 {
		memory = 4096
	}
	cmd := exec.CommandContext(ctx, name,
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "q35,vmport=off,smbus=off,sata=off,usb=off,hpet=off,graphics=off",
		"-accel", "tcg,thread=single,tb-size=512",
		"-cpu", "EPYC,+svm,+npt", "-smp", "1", "-m", strconv.Itoa(memory),
		// The unpacked kernel is entered by PVH: unpacking it under emulation
		// would cost seconds.
		"-kernel", k.Vmlinux(), "-initrd", initrd,
		"-append", strings.TrimSpace("console=ttyS0 panic=-1 mitigations=off random.trust_cpu=on loglevel=5 audit=0 "+j.KernelArgs),
		"-serial", "stdio",
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=link,path="+socket,
		"-device", "virtserialport,chardev=link,name="+link.Port,
	)
	for i, name := range slices.Sorted(maps.Keys(j.Disks)) {
		file, err := filepath.Abs(j.Disks[name])
		if err != nil {
			return nil, err
		}
		id := link.DiskSerial(i)
		// snapshot=on: writes go to a temporary file of the emulator's.
		cmd.Args = append(cmd.Args,
			"-drive", "if=none,format=raw,snapshot=on,cache=unsafe,id="+id+",file="+strings.ReplaceAll(file, ",", ",,"),
			"-device", "virtio-blk-pci,drive="+id+",serial="+id)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// registers asks the emulator's monitor what the processor is at.
func registers(monitor string) []byte {
	conn, err := net.Dial("unix", monitor)
	if err != nil {
		return fmt.Appendf(nil, "lab: the emulator's monitor: %v\n", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, "info registers\ninfo lapic\nquit\n")
	b, _ := io.ReadAll(io.LimitReader(conn, 64<<10))
	var keep []byte
	for line := range bytes.Lines(b) { // not the vector registers
		if !bytes.Contains(line, []byte("XMM")) && !bytes.Contains(line, []byte("FPR")) {
			keep = append(keep, line...)
		}
	}
	return keep
}

// failure is the cause when the nest, not the program or the context, ends a job.
type failure struct{ what string }

func (f failure) Error() string { return f.what }

// session is the lab's end of the connection to one nest.
type session struct {
	job    Job
	out    *output
	result *Result
	start  time.Time
	giveUp func(error)
	timer  *time.Timer // the time in which the next thing must come
	total  *time.Timer // the time in which everything must be over
}

// watch gives the nest d to do the next thing.
func (s *session) watch(d time.Duration, otherwise string) {
	s.stop()
	s.timer = time.AfterFunc(d, func() {
		s.giveUp(failure{fmt.Sprintf("%s within %v; it was killed", otherwise, d)})
	})
}

func (s *session) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// talk reads frames until the program has ended.
func (s *session) talk(l net.Listener) (link.Ending, error) {
	var end link.Ending
	conn, err := l.Accept()
	if err != nil {
		return end, errors.New("it never connected to the lab")
	}
	defer conn.Close()
	ended := make(chan struct{})
	defer close(ended)
	go nudge(conn, ended)
	defer func() {
		if s.total != nil {
			s.total.Stop()
		}
	}()
	for {
		kind, p, err := link.Read(conn)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the connection to the lab was closed")
			}
			return end, err
		}
		if s.total != nil {
			s.watch(s.job.SilentLimit, "gave no sign of life")
		}
		switch kind {
		case link.Hello:
			err = s.hello(p)
		case link.Stdout:
			s.out.stdout().Write(p)
		case link.Stderr:
			s.out.stderr().Write(p)
		case link.File:
			var name string
			var data []byte
			if name, data, err = link.FilePiece(p); err == nil {
				s.result.Files[name] = append(s.result.Files[name], data...)
			}
		case link.Exit:
			err = json.Unmarshal(p, &end)
			return end, err
		}
		if err != nil {
			return end, err
		}
	}
}

// nudge sends the nest a byte again and again, which it throws away. Each is an
// interrupt: the emulated processor loses one now and then, and if that was the
// timer's, a processor that sleeps without a tick would sleep for ever.
func nudge(conn io.Writer, ended <-chan struct{}) {
	t := time.NewTicker(nudgeEach)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if _, err := conn.Write([]byte{0}); err != nil {
				return
			}
		case <-ended:
			return
		}
	}
}

func (s *session) hello(p []byte) error {
	var g link.Greeting
	if err := json.Unmarshal(p, &g); err != nil {
		return err
	}
	if g.API == 0 {
		return errors.New("it has no /dev/kvm")
	}
	s.result.Boot = time.Since(s.start)
	limit := s.job.Timeout + endLimit
	s.total = time.AfterFunc(limit, func() {
		s.giveUp(failure{fmt.Sprintf("still there %v after its program began, which had %v; it was killed", limit, s.job.Timeout)})
	})
	s.watch(s.job.SilentLimit, "gave no sign of life")
	return nil
}

// writeNestInitrd writes what the nest's kernel unpacks: the first process,
// the modules for KVM, the program and its files.
func writeNestInitrd(ctx context.Context, to string, j Job, k kernels.Kernel) error {
	first, err := Build(ctx, "github.com/mayfly-vm/mayfly/lab/init")
	if err != nil {
		return err
	}
	program := "/lab/bin/" + filepath.Base(j.Program)
	entries := []Entry{
		{Name: "/init", Host: first},
		{Name: program, Host: j.Program},
		{Name: jobDir, Mode: os.ModeDir | 0o755},
	}
	spec := link.Spec{
		Path: program, Args: j.Args, Dir: jobDir, THP: j.THP, Timeout: j.Timeout, Collect: j.Collect,
		Env: append([]string{InsideEnv + "=nest"}, j.Env...),
	}
	port, err := k.Modules("virtio_pci", "virtio_console") // none, where they are part of the kernel
	if err != nil {
		return err
	}
	wanted := append([]string{"kvm-amd"}, j.Modules...)
	if spec.Disks = slices.Sorted(maps.Keys(j.Disks)); len(spec.Disks) > 0 {
		wanted = append(wanted, "virtio_blk")
	}
	modules, err := k.Modules(wanted...)
	if err != nil {
		return err
	}
	inNest := func(host string) string { return "/lab/modules/" + filepath.Base(host) }
	for _, host := range port {
		entries = append(entries, Entry{Name: inNest(host), Host: host})
		spec.PortModules = append(spec.PortModules, inNest(host))
	}
	for _, host := range modules {
		if slices.Contains(port, host) { // virtio_blk needs some of them too
			continue
		}
		entries = append(entries, Entry{Name: inNest(host), Host: host})
		spec.Modules = append(spec.Modules, inNest(host))
	}
	for name, host := range j.Files {
		more, err := hostEntries(name, host)
		if err != nil {
			return fmt.Errorf("lab: file %q: %w", name, err)
		}
		entries = append(entries, more...)
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	entries = append(entries, Entry{Name: link.SpecPath, Data: b, Mode: 0o644})
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(WriteInitramfs(f, entries), f.Close())
}

// jobDir is the program's working directory in the nest.
const jobDir = "/job"

// hostEntries returns the initramfs entries for a file, or for a directory
// with all that is in it.
func hostEntries(name, host string) ([]Entry, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(jobDir, name)
	}
	host, err := filepath.EvalSymlinks(host)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	err = filepath.Walk(host, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(host, path)
		if err != nil {
			return err
		}
		e := Entry{Name: filepath.Join(name, rel), Mode: info.Mode()}
		switch {
		case info.Mode().IsRegular():
			e.Host = path
		case info.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			e.Data = []byte(target)
		case !info.IsDir():
			return fmt.Errorf("%s is neither file, directory nor link but %v", path, info.Mode().Type())
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}
