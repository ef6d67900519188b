package vnet

import "github.com/mayfly-vm/mayfly/internal/sys/tap"

// The header in front of each frame (section 5.1.6), little-endian:
//
//	0  flags u8
//	1  gso_type u8
//	2  hdr_len u16
//	4  gso_size u16
//	6  csum_start u16
//	8  csum_offset u16
//	10 num_buffers u16: the chains that the frame takes; 1 without mergeable buffers
//
// A tap reads and writes it but for its last field. What a driver writes there is
// checked by the kernel, against the frame's length.
const (
	headerSize   = tap.HeaderSize
	numBuffersAt = 10
)

const (
	ethernet = 14 // two addresses and a type
	vlan     = 4
	// maxFrame is the longest frame: an IP packet of 64 KiB, whole (section
	// 5.1.6.3.1 has 65550 bytes with the Ethernet header).
	maxFrame = 65535 + ethernet + vlan
)

var zeroHeader [headerSize]byte
