package distribution

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// enterChroot mounts the image $1 in a mount namespace of its own, with memory to write to above it, and the
// directory $2 as /run/suites, and runs the command $3 in there.
const enterChroot = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/image /mnt/upper /mnt/work /mnt/root
mount -o loop,ro "$1" /mnt/image
mount -t overlay overlay -o lowerdir=/mnt/image,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount -t proc proc /mnt/root/proc
mount --rbind /dev /mnt/root/dev
mount --rbind /sys /mnt/root/sys
mount -t tmpfs tmpfs /mnt/root/run
mkdir /mnt/root` + mountPoint + `
mount --bind "$2" /mnt/root` + mountPoint + `
exec chroot /mnt/root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c "$3"
`

// inChroot runs the suites natively, on the files of the same image.
func inChroot(t *testing.T, j job) results {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "native")
	if err := os.CopyFS(dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	// On one processor, as in the guest.
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--fork", "--ipc", "--uts", "taskset", "1",
		"sh", "-c", enterChroot, "sh", j.image.Disk(), dir, j.command(mountPoint, 1))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the chroot: %v\n%s", err, out)
	}
	t.Logf("%v natively", time.Since(begin).Round(time.Second))
	if err := os.Rename(filepath.Join(dir, "out"), filepath.Join(dir, "native")); err != nil {
		t.Fatal(err)
	}
	return read(t, filepath.Join(dir, "native"))
}
