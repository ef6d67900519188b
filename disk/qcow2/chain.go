package qcow2

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/mayfly-vm/mayfly/disk"
)

// maxChain is the most files that one image may be made of.
const maxChain = 32

// layer is one file of a chain, the guest's first.
type layer struct {
	file   *disk.File
	format disk.Format
	size   int64
}

// chain opens all that f is made of, from the folder within or below; "": f's own.
// Errors name the file that they are about. f itself is closed by nobody here.
func chain(f *disk.File, within string) (layers []layer, err error) {
	if within == "" {
		within = filepath.Dir(f.Path())
	}
	defer func() {
		if err != nil {
			closeAll(layers[min(1, len(layers)):])
		}
	}()
	for format, path := disk.QCOW2, f.Path(); ; {
		l := layer{file: f, format: format, size: f.Size()}
		if format == disk.Raw {
			return append(layers, l), nil
		}
		h, err := readHeader(f)
		if err != nil {
			if len(layers) > 0 {
				err = fmt.Errorf("backing file %s: %w", path, err)
			}
			return append(layers, l), err
		}
		l.size = h.size
		if layers = append(layers, l); h.backing == "" {
			return layers, nil
		}
		if f, path, err = follow(path, h.backing, within); err != nil {
			return layers, fmt.Errorf("backing file %s: %w", h.backing, err)
		}
		for _, before := range layers {
			if before.file.Same(f) {
				f.Close()
				return layers, fmt.Errorf("the chain of backing files is a loop: %s again", path)
			}
		}
		if len(layers) == maxChain {
			f.Close()
			return layers, fmt.Errorf("the chain of backing files has more than %d; convert it: qemu-img convert -O raw", maxChain)
		}
		if format, err = f.Format(h.format, path); err != nil {
			f.Close()
			return layers, fmt.Errorf("backing file %s: %w", path, err)
		}
	}
}

// follow opens a backing file, whose name counts from the directory of the file
// that names it. Links are followed before it is judged where it lies.
func follow(from, name, within string) (*disk.File, string, error) {
	if i := strings.IndexByte(name, ':'); i >= 0 && !strings.Contains(name[:i], "/") {
		return nil, "", fmt.Errorf("only local files can be read: it is %w", disk.ErrUnsupported)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(from), name)
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, "", cause(err)
	}
	if ok, err := below(real, within); err != nil || !ok {
		return nil, "", errors.Join(err, fmt.Errorf("it lies in %s, outside of %s: if you trust the image, say that its files may come from there (backing=%[1]s)", filepath.Dir(real), within))
	}
	f, err := disk.OpenFile(disk.Options{Path: real, ReadOnly: true})
	return f, name, err
}

// below tells whether a path without links lies in a folder or below it.
func below(path, folder string) (bool, error) {
	real, err := filepath.EvalSymlinks(folder)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return false, err
	}
	rel, err := filepath.Rel(real, path)
	return err == nil && filepath.IsLocal(rel), err
}

// cause is the error without the path, which the caller tells.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func closeAll(layers []layer) {
	for _, l := range layers {
		l.file.Close()
	}
}
