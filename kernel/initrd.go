package kernel

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// File is a file to load into guest memory in addition to the kernel, open for reading.
type File struct {
	*os.File
	Path string // as the user gave it
	Size uint64 // bytes, when it was opened

	stamp stamp
}

// OpenInitrds opens a guest's initial RAM disks, without reading what is in
// them. Linux unpacks one after another if each begins at a multiple of 4 bytes;
// zeroes between them are skipped (init/initramfs.c, unpack_to_rootfs).
func OpenInitrds(paths []string) ([]File, error) {
	files := make([]File, 0, len(paths))
	for _, path := range paths {
		f, st, err := openInitrd(path)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("initrd %w", err)
		}
		files = append(files, File{f, path, uint64(st.Size), stampOf(st)})
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

// Changed says what has happened to the file's content since it was opened; "":
// nothing that shows.
func (f *File) Changed() string { return f.stamp.changed(f.File, f.Path) }
