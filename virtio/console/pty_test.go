package console

import "testing"

func TestIsPTY(t *testing.T) {
	for path, want := range map[string]bool{
		"/dev/pts/0": true, "/dev/pts/999999": true,
		"/dev/pts/": false, "/dev/pts/ptmx": false, "/dev/pts/../watchdog": false, "/dev/tty1": false, "/dev/pts/-1": false,
	} {
		if isPTY(path) != want {
			t.Errorf("%q: %v", path, !want)
		}
	}
}
