package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// What the devices ask of the host. Without any of it machines run, so nothing here is a Fail.

// virtio examines what disks, networks and sockets need.
func (h Host) virtio(r *Report) {
	h.ioUring(r)
	h.node(r, "taps", "/dev/net/tun", "tun", "--net tap can't be used; --net user needs none")
	h.node(r, "vhost-net", "/dev/vhost-net", "vhost_net", "frames of taps take the slower way through this program")
	h.node(r, "vhost-vsock", "/dev/vhost-vsock", "vhost_vsock", "--vsock vhost can't be used; one with a path needs none")
}

func (h Host) ioUring(r *Report) {
	const without = ": disks use threads instead, which cost more"
	err := h.IOUring()
	switch disabled := h.read("proc/sys/kernel/io_uring_disabled"); {
	case err == nil:
		r.add("io_uring", OK, "allowed", "")
	case errors.Is(err, syscall.ENOSYS):
		r.add("io_uring", Note, "this kernel has none"+without, "use a host kernel of 5.11 or newer with CONFIG_IO_URING, or a container whose seccomp profile allows it")
	case disabled == "1" || disabled == "2":
		r.add("io_uring", Note, "forbidden by the host ("+disabled+")"+without, "sudo sysctl kernel.io_uring_disabled=0")
	case errors.Is(err, syscall.EPERM):
		r.add("io_uring", Note, "forbidden, most likely by a container's seccomp profile"+without, "let the profile allow io_uring_setup, io_uring_enter and io_uring_register")
	default:
		r.add("io_uring", Note, err.Error()+without, "read the kernel's log: sudo dmesg")
	}
}

// node examines a device file by its rights alone: opening it could load a module.
func (h Host) node(r *Report, name, path, module, without string) {
	err := h.Access(path)
	switch {
	case err == nil:
		r.add(name, OK, path+" may be opened", "")
	case errors.Is(err, fs.ErrNotExist):
		r.add(name, Note, "there is no "+path+": "+without, fmt.Sprintf("sudo modprobe %s; in a container also hand the node in (docker run --device %s)", module, path))
	case errors.Is(err, fs.ErrPermission):
		do := fmt.Sprintf("sudo setfacl -m u:$USER:rw %s", path)
		if g := h.group(h.Owner(path)); g != "" && g != "root" {
			do = fmt.Sprintf("sudo usermod -aG %s $USER, then log in again (or, for now: %s)", g, do)
		}
		r.add(name, Note, path+" may not be opened: "+without, do)
	default:
		r.add(name, Note, path+": "+err.Error()+": "+without, "read the kernel's log: sudo dmesg")
	}
}

// programs examines whether those that Mayfly is shipped with are where it finds them.
func (h Host) programs(r *Report) {
	for _, p := range []struct{ name, without string }{
		{"mayfly-unpack", "a bzImage that isn't in the cache can't be booted, only a vmlinux"},
		{"mayfly-usernet", "--net user can't be used"},
		{"mayfly-broker", "--vsock and --net socket can't be used"},
		{"mayfly-config", "--config reads JSON only, no YAML"},
		{"mayfly-syscalls", "--confine=log can't be used"},
		{"mayfly-doc", "mayfly man, mayfly schema and mayfly completion can't be used"},
	} {
		if path := h.Program(p.name); path != "" {
			r.add(p.name, OK, path, "")
		} else {
			r.add(p.name, Note, "neither beside this program nor in PATH: "+p.without, "make build puts it into bin/: copy it beside this program")
		}
	}
}
