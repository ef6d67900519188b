package kernel

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The cache is a directory of
//
//	<64 hex digits>  an unpacked kernel, named by the SHA-256 of what it was packed in
//	i-<dev>-<ino>    the index: which of them belongs to a file (index.go)
//	lock-<2 digits>  locks that keep two processes from the same work
//	tmp-…            being written
//
// Nothing in it is changed after it has got its name, so processes need the
// locks for speed only.
type cache struct {
	path string
	dir  *os.File // opened once: all names are looked up in it; nil: not there yet
}

// key is the SHA-256 of packed bytes. It must withstand forgery: whoever finds a
// second input for it could foist another kernel on a machine.
type key []byte

var errNoCache = errors.New("no cache directory")

// cacheAt returns nil if there is no place for one. Nothing is made yet. A
// directory that is named, and that others can write to, is an error; the default
// one then is as if it were not there.
func cacheAt(dir string) (*cache, error) {
	named := dir != ""
	if !named {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, nil
		}
		dir = filepath.Join(user, "mayfly", "kernels")
	}
	c := &cache{path: dir}
	err := c.open()
	if errors.Is(err, ErrCacheDir) {
		if named {
			return nil, err
		}
		return nil, nil
	}
	return c, nil
}

// open opens the directory if nobody else can write to it. What is in there is
// then trusted by its own owner and mode: a hash of all of it would cost each
// start more than the rest of the start.
func (c *cache) open() error {
	fd, err := unix.Open(c.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	switch err = unix.Fstat(fd, &st); {
	case err != nil:
	case int(st.Uid) != os.Geteuid() && st.Uid != 0:
		err = bad(ErrCacheDir, "give one of this user's own", "is a cache directory of user %d, who can put other kernels there", st.Uid)
	case st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0:
		err = bad(ErrCacheDir, "take that right away (chmod go-w), or give another one", "is a cache directory that others can write to (mode %04o)", st.Mode&0o7777)
	}
	if err != nil {
		unix.Close(fd)
		var f *FileError
		if errors.As(err, &f) {
			f.Path = c.path
		}
		return err
	}
	c.dir = os.NewFile(uintptr(fd), c.path)
	return nil
}

func (c *cache) close() {
	if c != nil && c.dir != nil {
		c.dir.Close()
	}
}

func (c *cache) fd() int { return int(c.dir.Fd()) }

// prepare makes the directory if it isn't there.
func (c *cache) prepare() error {
	if c == nil {
		return errNoCache
	}
	if c.dir != nil {
		return nil
	}
	if err := os.MkdirAll(c.path, 0o700); err != nil {
		return err
	}
	return c.open()
}

// openFile opens a file of the cache if it can only have been written by this user.
func (c *cache) openFile(name string) (int, *unix.Stat_t, error) {
	if c == nil || c.dir == nil {
		return -1, nil, errNoCache
	}
	fd, err := unix.Openat(c.fd(), name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o022 != 0 || int(st.Uid) != os.Geteuid()) {
		err = errors.New("not a file of this user's own")
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, &st, nil
}

// content opens an unpacked kernel, or returns nil. size 0: unknown.
func (c *cache) content(k key, size uint64) (*os.File, uint64, []byte) {
	fd, st, err := c.openFile(hex.EncodeToString(k))
	if err != nil {
		return nil, 0, nil
	}
	unix.SetNonblock(fd, false)
	f := os.NewFile(uintptr(fd), c.path+"/"+hex.EncodeToString(k))
	head, err := headOf(f)
	if err != nil || st.Size == 0 || size != 0 && uint64(st.Size) != size || identify(head) != FormatELF {
		f.Close()
		return nil, 0, nil
	}
	return f, uint64(st.Size), head
}

// temp makes a file to be written. Its name is that in the directory.
func (c *cache) temp() (*os.File, error) {
	for i := 0; ; i++ {
		name := fmt.Sprintf("tmp-%d-%x-%d", os.Getpid(), time.Now().UnixNano(), i)
		fd, err := unix.Openat(c.fd(), name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		if err != unix.EEXIST && err != unix.EINTR || i == 100 {
			return nil, &os.PathError{Op: "create", Path: c.path + "/" + name, Err: err}
		}
	}
}

func (c *cache) remove(name string) { _ = unix.Unlinkat(c.fd(), name, 0) }

// commit gives a complete temporary file its name and opens it for reading only.
func (c *cache) commit(tmp *os.File, k key) (*os.File, error) {
	if err := tmp.Sync(); err != nil {
		return nil, err
	}
	name := hex.EncodeToString(k)
	if err := c.publish(tmp.Name(), name); err != nil {
		return nil, err
	}
	c.prune(name)
	fd, _, err := c.openFile(name)
	if err != nil {
		return nil, err
	}
	unix.SetNonblock(fd, false)
	return os.NewFile(uintptr(fd), c.path+"/"+name), nil
}

// publish renames and makes the name last.
func (c *cache) publish(tmp, name string) error {
	if err := unix.Renameat(c.fd(), tmp, c.fd(), name); err != nil {
		return &os.PathError{Op: "rename", Path: c.path + "/" + tmp, Err: err}
	}
	// Some file systems can't sync a directory; then a crash may lose the entry, whole.
	c.dir.Sync()
	return nil
}

// lockWait bounds how long a start waits for another process that unpacks the
// same kernel. Without the lock it does the work itself, which is only slower.
const lockWait = 20 * time.Second

// lock returns the function that unlocks.
func (c *cache) lock(k key) func() {
	fd, err := unix.Openat(c.fd(), fmt.Sprintf("lock-%02x", k[0]), unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return func() {}
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || int(st.Uid) != os.Geteuid() { // who could keep it locked
		unix.Close(fd)
		return func() {}
	}
	for began := time.Now(); time.Since(began) < lockWait; time.Sleep(2 * time.Millisecond) {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK && err != unix.EINTR {
			break
		}
	}
	return func() { unix.Close(fd) }
}

// Bounds of what the cache keeps.
const (
	cacheBytes = 4 << 30
	cacheIndex = 1024
	tmpAge     = time.Hour
)

// prune deletes the oldest kernels above cacheBytes, leftovers of crashes, and
// an index that has grown too long. Machines that run one of the kernels hold it
// open. keep is never deleted.
func (c *cache) prune(keep string) {
	_, _ = c.dir.Seek(0, io.SeekStart)
	names, err := c.dir.Readdirnames(-1)
	if err != nil {
		return
	}
	type item struct {
		name  string
		bytes int64
		mtime time.Time
	}
	var kernels []item
	var total int64
	var index []string
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(c.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		mtime := time.Unix(st.Mtim.Unix())
		switch {
		case strings.HasPrefix(name, "tmp-"):
			if time.Since(mtime) > tmpAge {
				c.remove(name)
			}
		case strings.HasPrefix(name, "i-"):
			index = append(index, name)
		case len(name) == 64:
			total += st.Size
			kernels = append(kernels, item{name, st.Size, mtime})
		}
	}
	if len(index) > cacheIndex {
		for _, name := range index {
			c.remove(name)
		}
	}
	for total > cacheBytes {
		oldest := -1
		for i, k := range kernels {
			if k.bytes > 0 && k.name != keep && (oldest < 0 || k.mtime.Before(kernels[oldest].mtime)) {
				oldest = i
			}
		}
		if oldest < 0 {
			return
		}
		c.remove(kernels[oldest].name)
		total -= kernels[oldest].bytes
		kernels[oldest].bytes = 0
	}
}
