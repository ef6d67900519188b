package doctor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// confinement examines what the host gives to confine a machine's process and the
// programs that it starts.
func (h Host) confinement(r *Report) {
	if err := h.Seccomp(); err == nil {
		r.add("seccomp", OK, "system calls of a machine's process are filtered", "")
	} else {
		r.add("seccomp", Fail, "no filters of system calls ("+err.Error()+"): mayfly run refuses to start", "use a kernel with CONFIG_SECCOMP_FILTER; --confine=off runs machines unconfined")
	}
	switch v := h.Landlock(); {
	case v == 0:
		r.add("landlock", Note, "none: of the file system, only the filter of system calls keeps a machine's process away", "use a kernel of 5.13 or newer with CONFIG_SECURITY_LANDLOCK, and landlock in its parameter lsm=; in a container let its seccomp profile allow landlock_*")
	default:
		r.add("landlock", OK, fmt.Sprintf("version %d of its interface", v), "")
	}
	err := h.Namespaces()
	switch {
	case err == nil:
		r.add("namespaces", OK, "a user can make namespaces for mayfly-unpack, mayfly-config, mayfly-usernet and mayfly-broker", "")
	case h.read("proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
		r.add("namespaces", Note, "AppArmor forbids user namespaces: companion programs have the machine's own", "add a profile for them that allows userns, or sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0")
	case h.read("proc/sys/kernel/unprivileged_userns_clone") == "0":
		r.add("namespaces", Note, "users may make none: companion programs have the host's", "sudo sysctl kernel.unprivileged_userns_clone=1")
	case errors.Is(err, syscall.EPERM):
		r.add("namespaces", Note, "forbidden, most likely by a container's seccomp profile: companion programs have the container's", "let the profile allow clone with CLONE_NEWUSER")
	default:
		r.add("namespaces", Note, err.Error()+": companion programs have the host's", "sudo sysctl user.max_user_namespaces=10000")
	}
}

// namespaces makes some, by starting this program in them.
func namespaces() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{os.Args[0], "version"}, &os.ProcAttr{
		Env: []string{}, Files: []*os.File{null, null, null},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		},
	})
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = errors.New("a program in namespaces of its own ended with " + strconv.Quote(state.String()))
	}
	return err
}
