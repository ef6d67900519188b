// Package uring is the little of Linux's io_uring(7) that disks need: rings, reads
// and writes of scatter-gather lists, fsync and fallocate, an eventfd for
// completions. One goroutine at a time uses a Ring.
//
// Layouts and numbers are those of linux/io_uring.h; a test compares them with the
// headers.
package uring
