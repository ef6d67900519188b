package kernel

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// InitrdFile is one of a guest's initial RAM disks, open for reading.
type InitrdFile struct {
	*os.File
	Path string
	Size uint64 // bytes
}

// OpenInitrds opens the files, without reading what is in them. Linux unpacks
// one behind another if each begins at a multiple of 4 bytes; zeroes between
// them are skipped (init/initramfs.c, unpack_to_rootfs).
func OpenInitrds(paths []string) ([]InitrdFile, error) {
	files := make([]InitrdFile, 0, len(paths))
	for _, path := range paths {
		f, st, err := openInitrd(path)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, err
		}
		files = append(files, InitrdFile{f, path, uint64(st.Size)})
	}
	return files, nil
}

func openInitrd(path string) (*os.File, *unix.Stat_t, error) {
	f, st, err := openRegular(path)
	var fe *FileError
	if errors.As(err, &fe) && fe.Cause == ErrNotKernel {
		err = &FileError{Path: path, Cause: ErrNotInitrd, Found: fe.what + ", expected an initrd in a regular file", Do: "give a cpio archive, packed or not"}
	}
	return f, st, err
}

// InitrdSpan is how many bytes of guest memory the initrds take, one behind
// another, each beginning at a multiple of align: at least 4, or the page size
// where they are mapped.
func InitrdSpan(files []InitrdFile, align uint64) (n uint64) {
	for _, f := range files {
		n = (n+align-1)&^(align-1) + f.Size
	}
	return n
}
