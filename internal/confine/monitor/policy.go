package monitor

import (
	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/confine"
	"github.com/mayfly-vm/mayfly/internal/seccomp"
	"github.com/mayfly-vm/mayfly/kvm"
)

// ioctl numbers of include/uapi/linux/vhost.h, which a driver's start and reset need.
// table_test.go compares them with the headers.
const (
	vhostGetFeatures     = 0x8008af00
	vhostSetFeatures     = 0x4008af00
	vhostSetOwner        = 0xaf01
	vhostSetMemTable     = 0x4008af03
	vhostSetVringNum     = 0x4008af10
	vhostSetVringAddr    = 0x4028af11
	vhostSetVringBase    = 0x4008af12
	vhostGetVringBase    = 0xc008af12
	vhostSetVringKick    = 0x4008af20
	vhostSetVringCall    = 0x4008af21
	vhostSetVringErr     = 0x4008af22
	vhostNetSetBackend   = 0x4008af30
	vhostVsockSetCID     = 0x4008af60
	vhostVsockSetRunning = 0x4004af61
)

// deviceRequests are the ioctls of virtio devices, which any thread may make: a driver's
// reset is served by its vCPU.
func deviceRequests() []uint32 {
	return []uint32{
		unix.TUNSETOFFLOAD, unix.TUNSETQUEUE, unix.TUNGETIFF,
		unix.BLKDISCARD, unix.BLKZEROOUT, unix.BLKGETSIZE64,
		vhostGetFeatures, vhostSetFeatures, vhostSetOwner, vhostSetMemTable, vhostSetVringNum, vhostSetVringAddr, vhostSetVringBase,
		vhostGetVringBase, vhostSetVringKick, vhostSetVringCall, vhostSetVringErr, vhostNetSetBackend, vhostVsockSetCID, vhostVsockSetRunning,
	}
}

// vcpuPolicy is that of the threads that run vCPUs, which also serve what the guest does
// at registers of devices.
func vcpuPolicy(pid int) seccomp.Policy {
	requests := append(kvm.VCPURequests(), kvm.RunningRequests()...)
	rules := []seccomp.Rule{seccomp.Only(unix.SYS_IOCTL, 1, append(requests, deviceRequests()...)...)}
	return seccomp.Policy{Rules: append(append(rules, confine.RuntimeCalls(pid)...), deviceCalls()...), Otherwise: seccomp.KillProcess}
}

// deviceCalls are those of virtio devices beyond ioctl, which any thread may make.
func deviceCalls() []seccomp.Rule {
	rules := seccomp.Calls(
		// Files and sockets that are open.
		unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV2, unix.SYS_PWRITEV2,
		unix.SYS_FALLOCATE, unix.SYS_FDATASYNC, unix.SYS_FSYNC, unix.SYS_FSTAT,
		unix.SYS_MREMAP, // guest memory in place of mapped text; it changes no protection
		unix.SYS_SENDMSG, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_POLL, unix.SYS_PPOLL, unix.SYS_IO_URING_ENTER,
	)
	return append(rules, seccomp.Only(unix.SYS_FCNTL, 1, unix.F_GETFL, unix.F_SETFL, unix.F_SETFD, unix.F_DUPFD_CLOEXEC, unix.F_OFD_SETLK, unix.F_OFD_GETLK))
}

// processPolicy is that of all threads.
func processPolicy(pid int) seccomp.Policy {
	requests := append(kvm.VCPURequests(), kvm.MachineRequests()...)
	requests = append(requests, deviceRequests()...)
	requests = append(requests, unix.TCGETS, unix.TCSETS, unix.TIOCGPGRP, unix.TIOCGWINSZ)
	rules := []seccomp.Rule{seccomp.Only(unix.SYS_IOCTL, 1, requests...)}
	rules = append(append(rules, confine.ProcessCalls(pid)...), deviceCalls()...)
	rules = append(rules, seccomp.Calls(
		unix.SYS_ACCEPT4, unix.SYS_RECVMSG, unix.SYS_SHUTDOWN, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT,
		unix.SYS_GETPGID, unix.SYS_COPY_FILE_RANGE, unix.SYS_FTRUNCATE, unix.SYS_LSEEK,
		// The end: a socket or link of this process is removed.
		unix.SYS_NEWFSTATAT, unix.SYS_READLINKAT, unix.SYS_UNLINKAT,
		// Of a companion that has ended.
		unix.SYS_WAITID, unix.SYS_WAIT4,
	)...)
	// A disk's medium is changed: IORING_REGISTER_FILES_UPDATE.
	rules = append(rules, seccomp.Only(unix.SYS_IO_URING_REGISTER, 1, 6))
	// A vCPU's thread adds its own filter.
	rules = append(rules, seccomp.Rule{Call: unix.SYS_SECCOMP, When: []seccomp.Condition{{Arg: 0, Values: []uint32{unix.SECCOMP_SET_MODE_FILTER}}, {Arg: 1, Values: []uint32{0}}}})
	return seccomp.Policy{Rules: rules, Otherwise: seccomp.KillProcess}
}
