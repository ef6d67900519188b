// Package devices lets Linux's own drivers use Mayfly's devices, and breaks what
// serves them. Its tests run in the lab's nest (package lab), one after the
// other, also where this machine's own KVM would do: they make and delete interfaces,
// mount file systems and take disks away.
//
//	go test ./test/devices                     # all
//	go test ./test/devices -run TestDisk -v
//
// The guests' first process is guest/devinit; a test asks it over the serial
// console to do this or that, while it can see the same data from the other
// side. Whatever is moved is a pattern that depends on its place, compared byte by
// byte on one side and by its SHA-256 on the other.
package devices
