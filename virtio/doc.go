// Package virtio is the part of virtio 1.3 that all devices share: the state
// machine between driver and device (Instance), the virtqueues, split and packed
// (Queue), and the goroutine that serves them (Loop). Transports stand
// above it (internal/transport), devices below their own folders.
//
// # The way of a request
//
//	driver kicks ─ eventfd ─► Loop ─► Queue.Pop ─► Chain ─► the device
//	                    interrupt ◄─ Queue.Flush ◄─ Queue.Push ◄──────────────┘
//
// # Trust
//
// A driver is hostile until shown otherwise, and changes memory while it is
// looked at. Every descriptor chain is read once, checked in one place (chain.go)
// and from then on known only by its checked copy. What is wrong with a ring
// makes the device need a reset (section 2.1.2) and never more: no access outside
// guest memory, no allocation that grows with what the driver claims.
//
// Section numbers are those of the Virtual I/O Device specification, version 1.3.
package virtio
