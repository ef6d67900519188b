package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// An Entry is one file of an initramfs.
type Entry struct {
	Name  string      // path in the guest, with or without a leading slash
	Mode  fs.FileMode // type and permissions; 0 means a regular file with 0755
	Data  []byte      // content of a regular file, or target of a symbolic link
	Host  string      // file on this machine with the content, instead of Data
	Major uint32      // device number, when Mode has fs.ModeDevice
	Minor uint32
}

// Initramfs returns an uncompressed initramfs with the files: path in the
// guest to content, all executable. It always holds /dev/console, which the
// kernel opens as the init's standard input, output and error.
func Initramfs(files map[string][]byte) []byte {
	var b bytes.Buffer
	entries := make([]Entry, 0, len(files))
	for name, data := range files {
		entries = append(entries, Entry{Name: name, Data: data})
	}
	if err := WriteInitramfs(&b, entries); err != nil {
		panic("lab: writing an initramfs to memory: " + err.Error()) // no file is read, and memory takes all
	}
	return b.Bytes()
}

// WriteInitramfs writes entries as an initramfs to w, in the order of their
// names, with the directories above them and /dev/console. Of two entries with
// one name the later counts. The result depends on nothing but the entries: no
// times, no owners, no inode numbers of this machine.
func WriteInitramfs(w io.Writer, entries []Entry) error {
	all := map[string]Entry{
		"dev":         {Mode: fs.ModeDir | 0o755},
		"dev/console": {Mode: fs.ModeDevice | fs.ModeCharDevice | 0o600, Major: 5, Minor: 1},
	}
	for _, e := range entries {
		name := strings.TrimPrefix(path.Clean("/"+e.Name), "/")
		if name == "" {
			return fmt.Errorf("lab: initramfs entry %q has no name", e.Name)
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := all[dir]; !ok {
				all[dir] = Entry{Mode: fs.ModeDir | 0o755}
			}
		}
		all[name] = e
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names) // a directory sorts before what it holds

	c := cpioWriter{w: w}
	for i, name := range names {
		if err := c.entry(uint32(i+1), name, all[name]); err != nil {
			return fmt.Errorf("lab: initramfs entry %q: %w", name, err)
		}
	}
	return c.trailer()
}

// cpioWriter writes the "newc" format of cpio: Linux,
// Documentation/driver-api/early-userspace/buffer-format.rst.
type cpioWriter struct {
	w io.Writer
	n int64 // bytes written
}

// maxFile is the largest file that the eight hexadecimal digits of a header hold.
const maxFile = 1<<32 - 1

func (c *cpioWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (c *cpioWriter) entry(ino uint32, name string, e Entry) error {
	if e.Mode == 0 {
		e.Mode = 0o755
	}
	content, size := io.Reader(bytes.NewReader(e.Data)), int64(len(e.Data))
	if e.Host != "" {
		f, err := os.Open(e.Host)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		if !st.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file but %v", e.Host, st.Mode().Type())
		}
		content, size = f, st.Size()
	}
	if size > maxFile {
		return fmt.Errorf("%d bytes, more than a cpio archive can hold (%d)", size, int64(maxFile))
	}
	if err := c.header(ino, unixMode(e.Mode), uint32(size), e.Major, e.Minor, name); err != nil {
		return err
	}
	if n, err := io.CopyN(c, content, size); err != nil {
		return fmt.Errorf("%d of %d bytes: %w", n, size, err)
	}
	return c.pad()
}

func (c *cpioWriter) trailer() error {
	return c.header(0, 0, 0, 0, 0, "TRAILER!!!")
}

// header writes the 110 bytes of a header and the name: the magic 070701 and
// 13 numbers of eight hexadecimal digits.
func (c *cpioWriter) header(ino, mode, size, rmajor, rminor uint32, name string) error {
	_, err := fmt.Fprintf(c, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		ino, mode,
		0, 0, // uid, gid
		1, // links
		0, // modification time
		size,
		0, 0, // device that holds the file
		rmajor, rminor,
		len(name)+1,
		0, // checksum, unused in this format
		name)
	if err != nil {
		return err
	}
	return c.pad()
}

// pad fills up to the next multiple of four bytes.
func (c *cpioWriter) pad() error {
	_, err := c.Write(make([]byte, -c.n&3))
	return err
}

// unixMode translates to the bits of st_mode (inode(7)).
func unixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	switch {
	case m.IsDir():
		return bits | 0o040000
	case m&fs.ModeSymlink != 0:
		return bits | 0o120000
	case m&fs.ModeCharDevice != 0:
		return bits | 0o020000
	case m&fs.ModeDevice != 0:
		return bits | 0o060000
	}
	return bits | 0o100000
}

// WriteInitramfsFile writes the archive of WriteInitramfs to path, which holds
// either what it held before or the whole archive: another process may be
// reading or writing the same path.
func WriteInitramfsFile(path string, entries []Entry) error {
	f, err := os.CreateTemp(filepath.Dir(path), "new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(WriteInitramfs(f, entries), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
