// Package companion finds the programs that Mayfly is shipped with. (Package
// os/exec would do it, and cost each start its initialisation.)
package companion

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Find looks for an executable file in the directory of the running program, then in PATH, and
// returns its absolute path, or "". The current directory is never searched,
// whatever PATH says.
func Find(name string) string {
	var dirs []string
	if self, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(self))
	}
	for _, dir := range append(dirs, filepath.SplitList(os.Getenv("PATH"))...) {
		path := filepath.Join(dir, name)
		if !filepath.IsAbs(path) {
			continue
		}
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	return ""
}
