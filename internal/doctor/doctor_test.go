package doctor

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/kvm"
)

type fakeKVM struct {
	version int
	missing map[kvm.Cap]bool
	vm      error
	closed  *int
}

func (f fakeKVM) APIVersion() (int, error) { return f.version, nil }
func (f fakeKVM) CreateVM() error          { return f.vm }
func (f fakeKVM) Close() error             { *f.closed++; return nil }
func (f fakeKVM) CheckExtension(c kvm.Cap) (int, error) {
	if f.missing[c] {
		return 0, nil
	}
	if c == kvm.CapMaxVCPUs {
		return 1024, nil
	}
	return 1, nil
}

func file(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

// sound is a host on which all is well; tests spoil one thing each.
func sound() (Host, fstest.MapFS, *fakeKVM) {
	root := fstest.MapFS{
		"sys/module/kvm/refcnt":                                   file("1"),
		"sys/module/kvm_intel/parameters/ept":                     file("Y\n"),
		"sys/module/kvm/parameters/tdp_mmu":                       file("Y\n"),
		"proc/meminfo":                                            file("MemAvailable: 16777216 kB\n"),
		"sys/kernel/mm/transparent_hugepage/enabled":              file("always [madvise] never\n"),
		"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages":   file("128\n"),
		"sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": file("100\n"),
		"proc/sys/vm/overcommit_memory":                           file("0\n"),
		"proc/cpuinfo":                                            file("processor : 0\nflags\t\t: fpu vmx sse\n"),
		"etc/group":                                               file("root:x:0:\nkvm:x:104:\n"),
	}
	dev := &fakeKVM{version: 12, closed: new(int)}
	return Host{
		Root: root, Device: "/dev/kvm",
		Open:  func(string) (KVM, error) { return *dev, nil },
		Soft:  func() error { return nil },
		Owner: func(string) int { return 104 },
		Limit: func(int) (uint64, uint64, error) { return math.MaxUint64, math.MaxUint64, nil },

		Access:  func(string) error { return nil },
		IOUring: func() error { return nil },
		Seccomp: func() error { return nil }, Landlock: func() int { return 7 }, Namespaces: func() error { return nil },
		Program: func(name string) string { return "/usr/bin/" + name },
	}, root, dev
}

func TestSoundHostIsReady(t *testing.T) {
	h, _, dev := sound()
	r := Examine(h)
	if !r.Ready {
		t.Errorf("not ready: %+v", r)
	}
	for _, l := range r.Lines {
		if l.Status != OK || l.Do != "" {
			t.Errorf("%+v", l)
		}
	}
	if *dev.closed != 1 {
		t.Errorf("device closed %d times", *dev.closed)
	}
}

func TestEachTroubleIsNamedWithAWayOut(t *testing.T) {
	refuse := func(err error) func(*Host, fstest.MapFS, *fakeKVM) {
		return func(h *Host, _ fstest.MapFS, _ *fakeKVM) {
			h.Open = func(p string) (KVM, error) { return nil, &fs.PathError{Op: "open", Path: p, Err: err} }
		}
	}
	type spoil = func(*Host, fstest.MapFS, *fakeKVM)
	without := func(paths ...string) spoil {
		return func(_ *Host, root fstest.MapFS, _ *fakeKVM) {
			for _, p := range paths {
				delete(root, p)
			}
		}
	}
	both := func(list ...spoil) spoil {
		return func(h *Host, root fstest.MapFS, dev *fakeKVM) {
			for _, s := range list {
				s(h, root, dev)
			}
		}
	}
	put := func(path, text string) spoil {
		return func(_ *Host, root fstest.MapFS, _ *fakeKVM) { root[path] = file(text) }
	}
	forbidNamespaces := func(err error) spoil {
		return func(h *Host, _ fstest.MapFS, _ *fakeKVM) { h.Namespaces = func() error { return err } }
	}
	inaccessible := func(path string, err error) spoil {
		return func(h *Host, _ fstest.MapFS, _ *fakeKVM) {
			h.Access = func(p string) error {
				if p == path {
					return err
				}
				return nil
			}
		}
	}
	lacking := func(c kvm.Cap) spoil {
		return func(_ *Host, _ fstest.MapFS, dev *fakeKVM) { dev.missing = map[kvm.Cap]bool{c: true} }
	}
	noModule := without("sys/module/kvm_intel/parameters/ept")
	for _, c := range []struct {
		name      string
		spoil     spoil
		line      string
		status    Status
		found, do string
	}{
		{"forbidden", refuse(syscall.EACCES), "device", Fail, "/dev/kvm", "usermod -aG kvm $USER"},
		{"forbidden, root's own", both(refuse(syscall.EACCES), func(h *Host, _ fstest.MapFS, _ *fakeKVM) { h.Owner = func(string) int { return 0 } }), "device", Fail, "permission", "chgrp kvm"},
		{"no node in a container", refuse(syscall.ENOENT), "device", Fail, "no such file", "--device /dev/kvm"},
		{"no module on Intel", both(noModule, refuse(syscall.ENOENT)), "device", Fail, "no such file", "modprobe kvm_intel"},
		{"no module on AMD", both(noModule, refuse(syscall.ENOENT), put("proc/cpuinfo", "flags : a svm\n")), "device", Fail, "no such file", "modprobe kvm_amd"},
		{"inside a VM", both(noModule, refuse(syscall.ENOENT), put("proc/cpuinfo", "flags : hypervisor a\n")), "device", Fail, "no such file", "nested"},
		{"no virtualisation", both(noModule, refuse(syscall.ENODEV), put("proc/cpuinfo", "")), "device", Fail, "no such device", "firmware"},
		{"held by another", refuse(syscall.EBUSY), "device", Fail, "busy", "fuser"},
		{"other error", refuse(syscall.EIO), "device", Fail, "input/output", "--kvm"},
		{"old API", func(_ *Host, _ fstest.MapFS, d *fakeKVM) { d.version = 11 }, "API version", Fail, "11, not 12", "newer"},
		{"no split irqchip", lacking(kvm.CapSplitIRQChip), "KVM_CAP_SPLIT_IRQCHIP", Fail, "missing", "4.4"},
		{"no prefault", lacking(kvm.CapPreFaultMemory), "KVM_CAP_PRE_FAULT_MEMORY", Note, "missing", "6.12"},
		{"VirtualBox", func(_ *Host, _ fstest.MapFS, d *fakeKVM) { d.vm = syscall.EBUSY }, "a machine", Fail, "busy", "VirtualBox"},
		{"no machine", func(_ *Host, _ fstest.MapFS, d *fakeKVM) { d.vm = syscall.ENOMEM }, "a machine", Fail, "memory", "dmesg"},
		{"pvm", both(noModule, put("sys/module/kvm_pvm/refcnt", "1")), "kind", Note, "emulated", "vmx"},
		{"amd without npt", both(noModule, put("sys/module/kvm_amd/parameters/npt", "0")), "kind", Note, "nested paging", "npt=1"},
		{"foreign module", noModule, "kind", Note, "doesn't know", "kvm_intel"},
		{"THP never", put("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]"), "transparent huge pages", Note, "never", "echo madvise"},
		{"no THP", without("sys/kernel/mm/transparent_hugepage/enabled"), "transparent huge pages", Note, "none", "CONFIG_"},
		{"none reserved", put("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0"), "reserved huge pages", Note, "none free", "nr_hugepages"},
		{"no hugetlbfs", without("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"), "reserved huge pages", Note, "no hugetlbfs", "CONFIG_"},
		{"no TDP MMU", put("sys/module/kvm/parameters/tdp_mmu", "N\n"), "memory of machines", Note, "tdp_mmu is off, which takes 2562 KiB", "EPT or NPT"},
		{"shadowed page tables", both(noModule, put("sys/module/kvm_pvm/refcnt", "1")), "memory of machines", Note, "16 GiB available: up to 14 GiB in a machine with --prealloc, 1637 GiB without", "EPT or NPT"},
		{"no figures", without("proc/meminfo"), "memory of machines", Note, "not checked", "mount /proc"},
		{"strict overcommit", put("proc/sys/vm/overcommit_memory", "2"), "overcommit", Note, "strict", "sysctl"},
		{"few files", func(h *Host, _ fstest.MapFS, _ *fakeKVM) {
			h.Limit = func(r int) (uint64, uint64, error) {
				if r == unix.RLIMIT_NOFILE {
					return 64, 4096, nil
				}
				return math.MaxUint64, math.MaxUint64, nil
			}
		}, "open files", Note, "64, can be raised to 4096", "ulimit -n"},
		{"no io_uring", func(h *Host, _ fstest.MapFS, _ *fakeKVM) { h.IOUring = func() error { return syscall.ENOSYS } }, "io_uring", Note, "none", "CONFIG_IO_URING"},
		{"io_uring off", both(put("proc/sys/kernel/io_uring_disabled", "2\n"), func(h *Host, _ fstest.MapFS, _ *fakeKVM) { h.IOUring = func() error { return syscall.EPERM } }), "io_uring", Note, "forbidden by the host (2)", "sysctl"},
		{"io_uring in a container", func(h *Host, _ fstest.MapFS, _ *fakeKVM) { h.IOUring = func() error { return syscall.EPERM } }, "io_uring", Note, "seccomp", "io_uring_setup"},
		{"no seccomp", func(h *Host, _ fstest.MapFS, _ *fakeKVM) { h.Seccomp = func() error { return syscall.EINVAL } }, "seccomp", Fail, "refuses to start", "--confine=off"},
		{"no Landlock", func(h *Host, _ fstest.MapFS, _ *fakeKVM) { h.Landlock = func() int { return 0 } }, "landlock", Note, "only the filter", "lsm="},
		{"AppArmor", both(put("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"), forbidNamespaces(syscall.EACCES)), "namespaces", Note, "AppArmor", "profile"},
		{"namespaces off", both(put("proc/sys/kernel/unprivileged_userns_clone", "0\n"), forbidNamespaces(syscall.EPERM)), "namespaces", Note, "users may make none", "sysctl"},
		{"namespaces in a container", forbidNamespaces(syscall.EPERM), "namespaces", Note, "container's seccomp", "CLONE_NEWUSER"},
		{"no more namespaces", forbidNamespaces(syscall.ENOSPC), "namespaces", Note, "no space", "max_user_namespaces"},
		{"no tun", inaccessible("/dev/net/tun", syscall.ENOENT), "taps", Note, "--net tap", "modprobe tun"},
		{"tun forbidden", inaccessible("/dev/net/tun", syscall.EACCES), "taps", Note, "may not be opened", "usermod -aG kvm"},
		{"no vhost-net", inaccessible("/dev/vhost-net", syscall.ENOENT), "vhost-net", Note, "slower", "modprobe vhost_net"},
		{"no vhost-vsock", inaccessible("/dev/vhost-vsock", syscall.ENOENT), "vhost-vsock", Note, "--vsock vhost", "--device /dev/vhost-vsock"},
		{"no mayfly-unpack", func(h *Host, _ fstest.MapFS, _ *fakeKVM) {
			h.Program = func(name string) string {
				if name == "mayfly-unpack" {
					return ""
				}
				return name
			}
		}, "mayfly-unpack", Note, "neither beside", "make build"},
		{"limits unreadable", func(h *Host, _ fstest.MapFS, _ *fakeKVM) {
			h.Limit = func(int) (uint64, uint64, error) { return 0, 0, errors.New("refused") }
		}, "address space", Note, "refused", "ulimit -v"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, root, dev := sound()
			c.spoil(&h, root, dev)
			r := Examine(h)
			if r.Ready != (c.status != Fail) {
				t.Errorf("ready = %v", r.Ready)
			}
			for _, l := range r.Lines {
				if l.Name != c.line {
					if l.Status != OK && l.Do == "" {
						t.Errorf("nothing to do about %+v", l)
					}
					continue
				}
				if l.Status != c.status || !strings.Contains(l.Found, c.found) || !strings.Contains(l.Do, c.do) {
					t.Errorf("got %+v", l)
				}
				return
			}
			t.Errorf("no line %q in %+v", c.line, r)
		})
	}
}

// What auto takes, and why, for each kind of trouble with KVM or the software processor.
func TestAuto(t *testing.T) {
	const linux, small = "--cpu=auto, Linux", "--cpu=auto, small guests"
	forbidden := &fs.PathError{Op: "open", Path: "/dev/kvm", Err: syscall.EACCES}
	noMemory := errors.New("no executable memory")
	for _, c := range []struct {
		name       string
		spoil      func(*Host, fstest.MapFS, *fakeKVM)
		auto       Auto
		ready      bool
		line       string
		status     Status
		found, do  string
		afterwords string
	}{
		{"sound", func(*Host, fstest.MapFS, *fakeKVM) {}, Auto{"kvm", "kvm"}, true, linux, OK, "KVM", "", "Machines can run here."},
		{"sound, no executable memory", func(h *Host, _ fstest.MapFS, _ *fakeKVM) { h.Soft = func() error { return noMemory } },
			Auto{"kvm", "kvm"}, true, linux, OK, "KVM", "", "Machines can run here."},
		{"forbidden", func(h *Host, _ fstest.MapFS, _ *fakeKVM) {
			h.Open = func(string) (KVM, error) { return nil, forbidden }
		},
			Auto{"soft", "soft"}, false, linux, Note, "the software processor, which is slower: open /dev/kvm: permission denied; the group kvm may", "usermod -aG kvm $USER", "takes the software processor"},
		{"forbidden, root's own", func(h *Host, _ fstest.MapFS, _ *fakeKVM) {
			h.Open, h.Owner = func(string) (KVM, error) { return nil, forbidden }, func(string) int { return 0 }
		}, Auto{"soft", "soft"}, false, small, Note, "only root may", "chgrp kvm", "takes the software processor"},
		{"none", func(h *Host, _ fstest.MapFS, _ *fakeKVM) {
			h.Open = func(string) (KVM, error) { return nil, syscall.ENOENT }
		},
			Auto{"soft", "soft"}, false, small, Note, "no such file", "lines above", "takes the software processor"},
		{"none, no executable memory", func(h *Host, _ fstest.MapFS, _ *fakeKVM) {
			h.Open, h.Soft = func(string) (KVM, error) { return nil, syscall.ENOENT }, func() error { return noMemory }
		}, Auto{}, false, linux, Fail, "nothing: no such file or directory; the software processor: no executable memory", "execmem", "No machine can run here"},
		{"pvm", func(_ *Host, root fstest.MapFS, _ *fakeKVM) {
			delete(root, "sys/module/kvm_intel/parameters/ept")
			root["sys/module/kvm_pvm/refcnt"] = file("1")
		}, Auto{"soft", "kvm"}, true, linux, Note, "kvm_pvm cannot run Linux", "lines above", "Machines can run here."},
		{"pvm, no executable memory", func(h *Host, root fstest.MapFS, _ *fakeKVM) {
			delete(root, "sys/module/kvm_intel/parameters/ept")
			root["sys/module/kvm_pvm/refcnt"] = file("1")
			h.Soft = func() error { return noMemory }
		}, Auto{"", "kvm"}, true, linux, Note, "nothing: kvm_pvm cannot run Linux; the software processor: no executable memory", "execmem", "Machines can run here."},
		{"old API", func(_ *Host, _ fstest.MapFS, d *fakeKVM) { d.version = 11 }, Auto{"soft", "soft"}, false, linux, Note, "version 11", "lines above", "takes the software processor"},
		{"a capability", func(_ *Host, _ fstest.MapFS, d *fakeKVM) { d.missing = map[kvm.Cap]bool{kvm.CapSplitIRQChip: true} },
			Auto{"soft", "soft"}, false, small, Note, "KVM_CAP_SPLIT_IRQCHIP", "lines above", "takes the software processor"},
		{"a device that is named", func(h *Host, _ fstest.MapFS, _ *fakeKVM) {
			h.Device, h.Open = "/dev/other", func(string) (KVM, error) { return nil, syscall.ENOENT }
		}, Auto{}, false, linux, Fail, "the device that --kvm names", "leave --kvm out", "No machine can run here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, root, dev := sound()
			c.spoil(&h, root, dev)
			r := Examine(h)
			if r.Auto != c.auto || r.Ready != c.ready {
				t.Errorf("auto takes %+v, ready %v", r.Auto, r.Ready)
			}
			i := slices.IndexFunc(r.Lines, func(l Line) bool { return l.Name == c.line })
			if i < 0 {
				t.Fatalf("no line %q in %+v", c.line, r)
			}
			if l := r.Lines[i]; l.Status != c.status || !strings.Contains(l.Found, c.found) || !strings.Contains(l.Do, c.do) {
				t.Errorf("got %+v", l)
			}
			var text strings.Builder
			if err := r.Write(&text); err != nil || !strings.Contains(text.String(), c.afterwords) {
				t.Errorf("%v: no %q in\n%s", err, c.afterwords, &text)
			}
		})
	}
}

func TestThisHost(t *testing.T) {
	r := Examine(This(""))
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
	if _, err := os.Stat("/dev/kvm"); err != nil && r.Ready {
		t.Error("ready without /dev/kvm")
	}
}
