// Package kvm is the Linux KVM API (Documentation/virt/kvm/api.rst), one Go
// method for one ioctl. It has no policy: it knows neither a machine nor a
// device. x86-64 only, no cgo.
//
// The three file descriptors of the API are the three types: System
// (/dev/kvm), VM and VCPU. Each is closed by its Close; a closed one answers
// with EBADF. Errors are *Error: the ioctl's name around the errno, so that
// errors.Is(err, unix.ENXIO) works.
package kvm
