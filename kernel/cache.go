package kernel

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The cache is a folder of
//
//	<64 hex digits>  an unpacked kernel, named by the SHA-256 of what it was packed in
//	i-<dev>-<ino>    the index: which of them belongs to a file (index.go)
//	lock-<2 digits>  locks that keep two processes from the same work
//	tmp-…            being written
//
// Nothing in it is changed after it has got its name, so processes need the
// locks for speed only.
type cache struct{ dir string }

// key is the SHA-256 of packed bytes. It must withstand forgery: whoever finds a
// second input for it could foist another kernel on a machine.
type key []byte

var errNoCache = errors.New("no cache directory")

// cacheAt returns nil if there is no place for one. Nothing is made yet.
func cacheAt(dir string) *cache {
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil
		}
		dir = filepath.Join(user, "mayfly", "kernels")
	}
	return &cache{dir}
}

func (c *cache) path(name string) string { return c.dir + "/" + name }

func (c *cache) prepare() error {
	if c == nil {
		return errNoCache
	}
	return os.MkdirAll(c.dir, 0o700)
}

// open opens a file of the cache if it can only have been written by this user.
func (c *cache) open(name string) (int, *unix.Stat_t, error) {
	fd, err := unix.Open(c.path(name), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
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
	fd, st, err := c.open(hex.EncodeToString(k))
	if err != nil {
		return nil, 0, nil
	}
	unix.SetNonblock(fd, false)
	f := os.NewFile(uintptr(fd), c.path(hex.EncodeToString(k)))
	head, err := headOf(f)
	if err != nil || st.Size == 0 || size != 0 && uint64(st.Size) != size || identify(head) != FormatELF {
		f.Close()
		return nil, 0, nil
	}
	return f, uint64(st.Size), head
}

func (c *cache) temp() (*os.File, error) {
	return os.CreateTemp(c.dir, "tmp-*") // mode 0600
}

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
	return os.Open(c.path(name))
}

// publish renames and makes the name last.
func (c *cache) publish(tmp, name string) error {
	if err := os.Rename(tmp, c.path(name)); err != nil {
		return err
	}
	d, err := os.Open(c.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some file systems can't sync a folder; then a crash may lose the entry, whole.
	d.Sync()
	return nil
}

// lockWait bounds how long a start waits for another process that unpacks the
// same kernel. Without the lock it does the work itself, which is only slower.
const lockWait = 20 * time.Second

// lock returns the function that unlocks.
func (c *cache) lock(k key) func() {
	f, err := os.OpenFile(c.path(fmt.Sprintf("lock-%02x", k[0])), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return func() {}
	}
	for began := time.Now(); time.Since(began) < lockWait; time.Sleep(2 * time.Millisecond) {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK && err != unix.EINTR {
			break
		}
	}
	return func() { f.Close() }
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
	entries, err := os.ReadDir(c.dir)
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
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		switch name := e.Name(); {
		case strings.HasPrefix(name, "tmp-"):
			if time.Since(info.ModTime()) > tmpAge {
				os.Remove(c.path(name))
			}
		case strings.HasPrefix(name, "i-"):
			index = append(index, name)
		case len(name) == 64:
			total += info.Size()
			kernels = append(kernels, item{name, info.Size(), info.ModTime()})
		}
	}
	if len(index) > cacheIndex {
		for _, name := range index {
			os.Remove(c.path(name))
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
		os.Remove(c.path(kernels[oldest].name))
		total -= kernels[oldest].bytes
		kernels[oldest].bytes = 0
	}
}
