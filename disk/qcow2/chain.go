package qcow2

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/mayfly-vm/mayfly/disk"
)

// maxChain is the most files that one image may be made of.
const maxChain = 32

// layer is one file of a chain, the guest's first.
type layer struct {
	file    *disk.File
	format  disk.Format
	size    int64
	backing bool  // there is a layer below
	padded  int64 // see header
}

// chain opens all that f is made of, of what may be. Errors name the file that they
// are about. f itself is closed by nobody here.
func chain(f *disk.File, may bounds) (layers []layer, err error) {
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
		l.size, l.padded, l.backing = h.size, h.padded, h.backing != ""
		if layers = append(layers, l); h.backing == "" {
			return layers, nil
		}
		if path == "" { // an open file was handed over without its path
			return layers, fmt.Errorf("has a backing file, %q, which counts from the image's folder: give the image's path too", h.backing)
		}
		if f, path, err = follow(path, h.backing, may); err != nil {
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
// that names it.
func follow(from, name string, may bounds) (*disk.File, string, error) {
	if i := strings.IndexByte(name, ':'); i >= 0 && !strings.Contains(name[:i], "/") {
		return nil, "", fmt.Errorf("only local files can be read: it is %w", disk.ErrUnsupported)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(from), name)
	}
	f, err := disk.OpenFile(disk.Options{Path: name, ReadOnly: true, Allow: may.check})
	return f, name, err
}

func closeAll(layers []layer) {
	for _, l := range layers {
		l.file.Close()
	}
}
