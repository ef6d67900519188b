package qcow2

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/mayfly-vm/mayfly/disk"
)

// bounds are where the files of a chain may be. An image names them, and shows
// its guest what they hold: one from a stranger could name any file of the host.
type bounds struct {
	folder string
	// deep allows what lies below the folder, and block devices: somebody has named
	// it. Else it is the image's own, which may be / or /dev.
	deep bool
}

func boundsOf(o disk.Options) bounds {
	if o.Backing != "" {
		return bounds{o.Backing, true}
	}
	return bounds{filepath.Dir(o.Path), false}
}

// check judges a file by where it is once all links are followed.
func (b bounds) check(file string, regular bool) error {
	folder, err := real(b.folder)
	if err != nil {
		return fmt.Errorf("the folder %s: %w", b.folder, err)
	}
	rel, err := filepath.Rel(folder, file)
	switch {
	case err != nil || !filepath.IsLocal(rel), !b.deep && filepath.Dir(rel) != ".":
		return fmt.Errorf("it lies in %s, not in %s: if you trust the image, say that its files may come from there (backing=%[1]s)", filepath.Dir(file), folder)
	case !b.deep && !regular:
		return fmt.Errorf("it is no regular file: if you trust the image, say that its files may be others too (backing=%s)", folder)
	}
	return nil
}

// real is the absolute path without links.
func real(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	return path, cause(err)
}

// cause is the error without the path, which stands before it.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
