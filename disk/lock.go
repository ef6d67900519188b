package disk

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lock takes the file for this image: alone to write, shared to read. The lock is
// one of the open file (F_OFD_SETLK): it goes with the descriptor, whatever
// becomes of the process, and stands against those of other virtual machine
// monitors too.
func (f *File) lock() error {
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if f.readOnly {
		l.Type = unix.F_RDLCK
	}
	err := unix.FcntlFlock(uintptr(f.plain), unix.F_OFD_SETLK, &l)
	switch err {
	case nil, unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL: // a file system that knows no locks
		return nil
	case unix.EAGAIN, unix.EACCES:
		return fmt.Errorf("is in use%s; two machines that write to one disk destroy it (several may share it when all are read-only)", f.holder())
	}
	return fmt.Errorf("cannot be locked: %w", err)
}

// holder is " by …" for the process that has the file locked, or "" when this
// process may not know.
func (f *File) holder() string {
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if unix.FcntlFlock(uintptr(f.plain), unix.F_GETLK, &l) == nil && l.Type != unix.F_UNLCK && l.Pid > 0 {
		return process(int(l.Pid))
	}
	// A lock of an open file has no process; who has that file open does. Its
	// entry in fdinfo(5) shows the lock, by device and inode.
	var st unix.Stat_t
	if unix.Fstat(f.plain, &st) != nil {
		return ""
	}
	inode := ":" + strconv.FormatUint(st.Ino, 10) + " "
	dev := fmt.Sprintf("%02x:%02x", unix.Major(st.Dev), unix.Minor(st.Dev))
	proc, err := os.Open("/proc")
	if err != nil {
		return ""
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		dir := "/proc/" + name + "/fdinfo"
		infos, _ := os.ReadDir(dir)
		for _, e := range infos {
			for line := range strings.SplitSeq(readSome(dir+"/"+e.Name()), "\n") {
				if strings.HasPrefix(line, "lock:") && strings.Contains(line, " "+dev+inode) {
					return process(pid)
				}
			}
		}
	}
	return ""
}

// process names a process for people.
func process(pid int) string {
	if pid == os.Getpid() {
		return " by another disk of this machine"
	}
	comm := strings.TrimSpace(readSome(fmt.Sprintf("/proc/%d/comm", pid)))
	if comm == "" {
		return fmt.Sprintf(" by process %d", pid)
	}
	return fmt.Sprintf(" by process %d (%s)", pid, comm)
}

// readSome is the beginning of a file of /proc, or "".
func readSome(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(b)
}
