package virtio_test

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

func vec(parts ...string) (v virtio.Vec) {
	for _, p := range parts {
		b := []byte(p)
		v = append(v, unix.Iovec{Base: &b[0], Len: uint64(len(b))})
	}
	return v
}

func all(v virtio.Vec) string {
	p := make([]byte, v.Len()+3)
	return string(p[:v.CopyOut(p, 0)])
}

func TestVec(t *testing.T) {
	v := vec("abc", "d", "efgh")
	if v.Len() != 8 || all(v) != "abcdefgh" {
		t.Errorf("%d bytes, %q", v.Len(), all(v))
	}
	for _, c := range []struct {
		off, n int
		want   string
	}{{0, 3, "abc"}, {1, 3, "bcd"}, {2, 6, "cdefgh"}, {3, 1, "d"}, {4, 9, "efgh"}, {7, 1, "h"}, {8, 1, ""}, {99, 5, ""}, {2, 0, ""}} {
		p := make([]byte, c.n)
		if got := string(p[:v.CopyOut(p, c.off)]); got != c.want {
			t.Errorf("CopyOut of %d at %d: %q, want %q", c.n, c.off, got, c.want)
		}
		if got := all(v.Cut(nil, c.off, c.n)); got != c.want {
			t.Errorf("Cut of %d at %d: %q, want %q", c.n, c.off, got, c.want)
		}
	}
	for _, c := range []struct {
		off  int
		p    string
		n    int
		want string
	}{{0, "12", 2, "12cdefgh"}, {2, "345", 3, "ab345fgh"}, {6, "6789", 2, "abcdef67"}, {8, "x", 0, "abcdefgh"}, {3, "", 0, "abcdefgh"}} {
		w := vec("abc", "d", "efgh")
		if n := w.CopyIn([]byte(c.p), c.off); n != c.n || all(w) != c.want {
			t.Errorf("CopyIn(%q, %d): %d, %q; want %d, %q", c.p, c.off, n, all(w), c.n, c.want)
		}
	}
	var pieces [][]byte
	for p := range v.Bytes {
		if pieces = append(pieces, p); len(pieces) == 2 {
			break
		}
	}
	if !bytes.Equal(bytes.Join(pieces, nil), []byte("abcd")) {
		t.Errorf("pieces %q", pieces)
	}
}
