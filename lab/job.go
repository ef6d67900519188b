package lab

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// A Job is a program to run on a KVM that can run Linux.
type Job struct {
	// Program is the file to run: a static ELF executable of this machine.
	Program string
	// Args are its arguments, without its name.
	Args []string
	// Env holds NAME=value pairs in addition to the few that every program in the lab
	// gets: PATH, HOME, TMPDIR, USER and [InsideEnv].
	Env []string
	// Files are the files it needs: name in the lab to file or directory on
	// this machine. A relative name counts from the program's working
	// directory, which holds nothing else and comes first in PATH. An absolute
	// name works in the nest only. The program must not write to them.
	Files map[string]string
	// Disks are raw disk images, too large to lie in the nest's memory: name in the
	// program's working directory to file on this machine. In the nest the name
	// leads to a block device, natively to a copy. The program may write to it;
	// what it wrote is gone when it has ended.
	Disks map[string]string
	// Modules are kernel modules that the program needs in the nest in addition to KVM's,
	// such as "tun"; those that they depend on come along. Natively they are the
	// host's business.
	Modules []string
	// Collect names the files to bring back when the program has ended,
	// relative like those of Files.
	Collect []string
	// Timeout is the time that the program has, 0 for [DefaultTimeout]. The
	// time that the nest needs to come up does not count.
	Timeout time.Duration

	// SilentLimit is for how long the nest, which beats every second, may give no
	// sign of life before it is killed; 0 for [DefaultSilentLimit].
	SilentLimit time.Duration

	// Stdout and Stderr get the program's output as it comes; nil drops it.
	// [Result.Output] has it in any case.
	Stdout, Stderr io.Writer
	// Console gets the nest's own console, kernel messages and all, as it
	// comes; nil drops it. [Result.Console] has it in any case.
	Console io.Writer

	// THP is the mode of transparent huge pages that the program shall find:
	// "always", "madvise" or "never". Empty takes what is there (in the nest:
	// Debian's "always").
	THP string
	// Memory is the nest's memory in MiB, 0 for 4096.
	Memory int
	// KernelArgs is added to the command line of the nest's kernel.
	KernelArgs string
	// HostKernel is the kernel of the nest, one of package kernels that Debian made;
	// empty for "debian-6.12-cloud". Where it is set, the job runs in the nest.
	HostKernel string
	// Nest asks for the nest even where this machine's KVM would do.
	Nest bool
	// Host asks for this machine, whatever its KVM: the program needs none.
	Host bool
}

// DefaultTimeout is a job's time when it names none.
const DefaultTimeout = 10 * time.Minute

// DefaultSilentLimit is a nest's longest silence when the job names none. It is
// long since other work may take the processors away.
const DefaultSilentLimit = 2 * time.Minute

// InsideEnv is set to "native" or "nest" for programs that run in the lab.
const InsideEnv = "MAYFLY_LAB_INSIDE"

// A Result is what a job left.
type Result struct {
	Where    Place             // where it ran
	ExitCode int               // 128 + signal when a signal ended it
	Output   []byte            // standard output and error, in the order in which they came
	Files    map[string][]byte // those of Job.Collect that were there
	Console  []byte            // the nest's console; empty when it ran natively
	Boot     time.Duration     // from the start of the nest to the start of the program
	Elapsed  time.Duration     // the program's time; in the nest by the nest's clock
}

// ErrTimeout is in the chain of the error of a job whose program did not end
// in its time.
var ErrTimeout = errors.New("the program did not end in its time")

// A NestError says that the nest, not the program, failed.
type NestError struct {
	What    string // what happened
	Console []byte // the nest's console up to then
}

func (e *NestError) Error() string {
	return "lab: nest: " + e.What + consoleTail(e.Console)
}

// consoleTail quotes the last lines of a console for an error message.
func consoleTail(console []byte) string {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(console), "\r", "")), "\n")
	const keep = 60 // a kernel's panic message with its stack
	if len(lines) > keep {
		lines = lines[len(lines)-keep:]
	}
	if len(lines) == 1 && lines[0] == "" {
		return "\nThe nest's console is empty."
	}
	return "\nThe nest's console ends with:\n  | " + strings.Join(lines, "\n  | ")
}

// Run runs the job and returns when its program has ended. A program that
// ends with another exit code than 0 is no error. An error comes with what
// there is of the result.
func Run(ctx context.Context, j Job) (Result, error) {
	if j.Timeout == 0 {
		j.Timeout = DefaultTimeout
	}
	if j.SilentLimit == 0 {
		j.SilentLimit = DefaultSilentLimit
	}
	if err := j.check(); err != nil {
		return Result{}, err
	}
	p, err := j.place()
	if err != nil {
		return Result{}, err
	}
	if p.Native {
		return runNative(ctx, j, p)
	}
	return runNest(ctx, j, p)
}

func (j *Job) check() error {
	if err := checkStatic(j.Program); err != nil {
		return err
	}
	for name := range j.Disks {
		if name == "" || name != filepath.Base(name) || name == ".." || name == "." {
			return fmt.Errorf("lab: disk name %q is no plain file name", name)
		}
		if _, twice := j.Files[name]; twice {
			return fmt.Errorf("lab: %q names a file and a disk", name)
		}
	}
	for name := range j.Files {
		clean := filepath.Clean(name)
		if name == "" || clean == "." || clean == ".." || strings.HasPrefix(clean, "../") {
			return fmt.Errorf("lab: file name %q leads out of the job's directory", name)
		}
		for _, taken := range []string{"/init", "/lab", "/proc", "/sys", "/dev", "/tmp"} {
			if clean == taken || strings.HasPrefix(clean, taken+"/") {
				return fmt.Errorf("lab: file name %q lies in %s, which belongs to the nest", name, taken)
			}
		}
	}
	switch j.THP {
	case "", "always", "madvise", "never":
		return nil
	}
	return fmt.Errorf("lab: THP is %q; want always, madvise or never", j.THP)
}

// checkStatic refuses a program that needs a dynamic loader, since there is
// none in the nest and the kernel's own message then only says "no such file".
func checkStatic(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("lab: program %s: %w", program, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("lab: program %s is linked dynamically; build it with CGO_ENABLED=0 (Go) or -static (C)", program)
		}
	}
	return nil
}
