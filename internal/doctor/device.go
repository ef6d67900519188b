package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/mayfly-vm/mayfly/kvm"
)

// device examines the KVM device, and goes on only as far as it answers. It returns why KVM cannot be used, as
// --cpu=auto finds it out; nil: it can.
func (h Host) device(r *Report) error {
	dev, err := h.Open(h.Device)
	if err != nil {
		r.add("device", Fail, err.Error(), h.openAdvice(err))
		h.kind(r)
		return err
	}
	defer dev.Close()
	r.add("device", OK, h.Device+" opens for reading and writing", "")
	h.kind(r)

	v, err := dev.APIVersion()
	switch {
	case err != nil:
		r.add("API version", Fail, err.Error(), h.Device+" is no KVM device: name the right one with --kvm")
		return err
	case v != kvm.APIVersion:
		r.add("API version", Fail, fmt.Sprintf("%d, not %d", v, kvm.APIVersion), "use a host kernel of 2.6.22 or newer")
		return fmt.Errorf("its API has version %d", v)
	}
	r.add("API version", OK, fmt.Sprint(v), "")
	lacking := capabilities(dev, r)
	if err := dev.CreateVM(); err != nil {
		do := "read the kernel's log: sudo dmesg | grep -i kvm"
		if errors.Is(err, syscall.EBUSY) {
			do = "stop the other hypervisor that holds the processor's virtualisation (VirtualBox, VMware …)"
		}
		r.add("a machine", Fail, err.Error(), do)
		return lacking
	}
	r.add("a machine", OK, "can be made", "")
	return lacking
}

// openAdvice says what to do when the device can't be opened.
func (h Host) openAdvice(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		if g := h.group(h.Owner(h.Device)); g != "" && g != "root" {
			return fmt.Sprintf("sudo usermod -aG %s $USER, then log in again (or, for now: sudo setfacl -m u:$USER:rw %s)", g, h.Device)
		}
		return fmt.Sprintf("sudo chgrp kvm %[1]s && sudo chmod 660 %[1]s && sudo usermod -aG kvm $USER, then log in again", h.Device)
	case kvm.IsMissing(err):
		if h.loaded("kvm_intel") || h.loaded("kvm_amd") || h.loaded("kvm_pvm") {
			return "the module is loaded but the node isn't there: hand it into the container (docker run --device /dev/kvm), or sudo mknod /dev/kvm c 10 232"
		}
		switch flags := h.cpuFlags(); {
		case strings.Contains(flags, " vmx "):
			return "sudo modprobe kvm_intel; if that says it is disabled, enable VT-x in the firmware"
		case strings.Contains(flags, " svm "):
			return "sudo modprobe kvm_amd; if that says it is disabled, enable SVM in the firmware"
		case strings.Contains(flags, " hypervisor "):
			return "this is a virtual machine whose processor offers no virtualisation: enable nested virtualisation for it on its host"
		}
		return "the processor shows neither vmx nor svm: enable virtualisation (VT-x, AMD-V) in the firmware, or use another machine"
	case errors.Is(err, syscall.EBUSY):
		return "something else holds the device: sudo fuser -v " + h.Device
	}
	return "name a KVM device with --kvm"
}

// kind names the module that does the work.
func (h Host) kind(r *Report) {
	switch {
	case h.loaded("kvm_intel"):
		h.paging(r, "kvm_intel", "ept", "Intel VT-x")
	case h.loaded("kvm_amd"):
		h.paging(r, "kvm_amd", "npt", "AMD SVM")
	case h.loaded("kvm_pvm"):
		r.add("kind", Note, "kvm_pvm: guest kernel mode is emulated, instruction by instruction",
			"small PVH guests run; a stock Linux stops at the first instruction that the emulator lacks, and “mayfly run” takes the software processor for it, which is slower (--cpu): use a machine with vmx or svm")
	case h.loaded("kvm"):
		r.add("kind", Note, "kvm, by a module that Mayfly doesn't know", "if machines fail, use one with kvm_intel or kvm_amd")
	default:
		r.add("kind", Note, "no KVM module shows in /sys/module", "sudo modprobe kvm_intel or kvm_amd")
	}
}

func (h Host) paging(r *Report, module, parameter, name string) {
	if v := h.read("sys/module/" + module + "/parameters/" + parameter); v == "N" || v == "0" {
		r.add("kind", Note, fmt.Sprintf("%s (%s) without nested paging: guests are slow", module, name),
			fmt.Sprintf("sudo modprobe -r %[1]s && sudo modprobe %[1]s %[2]s=1", module, parameter))
		return
	}
	r.add("kind", OK, fmt.Sprintf("%s (%s)", module, name), "")
}

func (h Host) loaded(module string) bool {
	_, err := fs.Stat(h.Root, "sys/module/"+module)
	return err == nil
}

// cpuFlags returns the first processor's flags, each between blanks.
func (h Host) cpuFlags() string {
	for line := range strings.Lines(h.read("proc/cpuinfo")) {
		if name, flags, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			return " " + strings.TrimSpace(flags) + " "
		}
	}
	return ""
}

// group returns a group's name out of /etc/group: the package os/user would cost more than it gives. Empty: unknown.
func (h Host) group(gid int) string {
	for line := range strings.Lines(h.read("etc/group")) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 3 && f[2] == strconv.Itoa(gid) {
			return f[0]
		}
	}
	return ""
}

// read returns a small file's text without the blanks around it; empty when there is none.
func (h Host) read(name string) string {
	b, err := fs.ReadFile(h.Root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
