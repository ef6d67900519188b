package virtio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Vec is a scatter-gather list over guest memory, in the form that readv, tap
// devices, sockets and io_uring take: no copy stands between them and the guest.
// All of it was checked to be guest memory. The guest may write there at any
// time: read once, check the copy.
type Vec []unix.Iovec

// Len is the sum of the lengths, in bytes.
func (v Vec) Len() (n int) {
	for i := range v {
		n += int(v[i].Len)
	}
	return n
}

func bytesOf(v *unix.Iovec) []byte { return unsafe.Slice(v.Base, v.Len) }

// CopyOut copies from the list, starting off bytes into it, to p and returns how
// many bytes there were.
func (v Vec) CopyOut(p []byte, off int) (n int) {
	for i := range v {
		if l := int(v[i].Len); off >= l {
			off -= l
			continue
		}
		n += copy(p[n:], bytesOf(&v[i])[off:])
		if off = 0; n == len(p) {
			break
		}
	}
	return n
}

// CopyIn copies p to the list, starting off bytes into it, and returns how many
// bytes fitted.
func (v Vec) CopyIn(p []byte, off int) (n int) {
	for i := range v {
		if l := int(v[i].Len); off >= l {
			off -= l
			continue
		}
		n += copy(bytesOf(&v[i])[off:], p[n:])
		if off = 0; n == len(p) {
			break
		}
	}
	return n
}

// Cut appends to dst the part of v that begins off bytes in and is n bytes long,
// or as long as there is, and returns it.
func (v Vec) Cut(dst Vec, off, n int) Vec {
	for i := range v {
		if n <= 0 {
			break
		}
		l := int(v[i].Len)
		if off >= l {
			off -= l
			continue
		}
		take := min(l-off, n)
		p := bytesOf(&v[i])[off : off+take]
		dst = append(dst, iovec(p))
		off, n = 0, n-take
	}
	return dst
}

// Bytes calls do with each piece of the list, in order.
func (v Vec) Bytes(yield func([]byte) bool) {
	for i := range v {
		if !yield(bytesOf(&v[i])) {
			return
		}
	}
}

func iovec(p []byte) unix.Iovec {
	return unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
}
