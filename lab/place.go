package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Place is where programs of the lab run.
type Place struct {
	Native bool   // on this machine, else in the nest
	Why    string // the reason, for people
}

func (p Place) String() string {
	if p.Native {
		return "on this machine: " + p.Why
	}
	return "in the nest: " + p.Why
}

// Where says where this machine's jobs run, unless a job asks for what only
// the nest gives.
func Where() (Place, error) {
	switch v := os.Getenv("MAYFLY_LAB"); v {
	case "":
	case "native", "nest":
		return Place{Native: v == "native", Why: "MAYFLY_LAB=" + v}, nil
	default:
		return Place{}, fmt.Errorf("lab: MAYFLY_LAB is %q; want native, nest, or nothing", v)
	}
	native, why := nativeKVM()
	return Place{Native: native, Why: why}, nil
}

// nativeKVM reports whether this machine's KVM can run Linux as a guest: it must
// sit on VMX or SVM. The module kvm_pvm offers the same interface without
// them, but emulates guest kernel mode and stops at instructions that every
// Linux uses.
func nativeKVM() (bool, string) {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false, fmt.Sprintf("no usable KVM (%v)", err)
	}
	defer f.Close()
	const getAPIVersion, want = 0xAE00, 12 // KVM_GET_API_VERSION, linux/kvm.h
	if v, err := unix.IoctlRetInt(int(f.Fd()), getAPIVersion); err != nil || v != want {
		return false, fmt.Sprintf("/dev/kvm has API version %d, not %d (%v)", v, want, err)
	}
	if _, err := os.Stat("/sys/module/kvm_pvm"); err == nil {
		return false, "/dev/kvm is kvm_pvm, which cannot run Linux"
	}
	for _, m := range []string{"kvm_intel", "kvm_amd"} {
		if _, err := os.Stat("/sys/module/" + m); err == nil {
			return true, "/dev/kvm is " + m
		}
	}
	return false, "/dev/kvm is there, but it is neither kvm_intel's nor kvm_amd's"
}

// place decides where the job runs.
func (j *Job) place() (Place, error) {
	if j.Host {
		return Place{Native: true, Why: "the job needs no KVM"}, nil
	}
	p, err := Where()
	if err != nil || !p.Native {
		return p, err
	}
	var why string
	switch absolute := j.absoluteName(); {
	case j.Nest:
		why = "the job asks for it"
	case absolute != "":
		why = "the job wants a file at " + absolute
	case j.KernelArgs != "":
		why = "the job has arguments for the nest's kernel"
	case j.HostKernel != "":
		why = "the job wants the nest's kernel to be " + j.HostKernel
	case j.THP != "" && j.THP != currentTHP():
		why = fmt.Sprintf("the job wants transparent huge pages %q, this machine has %q", j.THP, currentTHP())
	default:
		return p, nil
	}
	if os.Getenv("MAYFLY_LAB") == "native" {
		return p, errors.New("lab: MAYFLY_LAB=native, but only the nest will do: " + why)
	}
	return Place{Why: why}, nil
}

func (j *Job) absoluteName() string {
	for name := range j.Files {
		if filepath.IsAbs(name) {
			return name
		}
	}
	return ""
}

// currentTHP is this machine's mode of transparent huge pages, the value that
// the kernel puts into brackets.
func currentTHP() string {
	b, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil {
		return "never"
	}
	_, rest, _ := strings.Cut(string(b), "[")
	mode, _, _ := strings.Cut(rest, "]")
	return mode
}
