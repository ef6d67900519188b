package main

import (
	"os"
	"os/exec"
	"path/filepath"
)

// wrappedKernel is the big guest twice: as it is, and compressed, so that the
// second has to be found in the cache of unpacked kernels.
func (b *bench) wrappedKernel() (wrapped, plain string, err error) {
	if plain, err = b.bigGuest(); err != nil {
		return "", "", err
	}
	wrapped = filepath.Join(b.dir, "big.elf.zst")
	if _, err := os.Stat(wrapped); err == nil {
		return wrapped, plain, nil
	}
	if out, err := exec.Command("zstd", "-q", "-1", plain, "-o", wrapped).CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		return "", "", err
	}
	return wrapped, plain, nil
}
