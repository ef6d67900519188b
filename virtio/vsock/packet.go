package vsock

import "encoding/binary"

// Every packet begins with a header (section 5.10.6):
//
//	0  u64 source CID        24 u32 length of the data behind it
//	8  u64 destination CID   28 u16 type, u16 operation
//	16 u32 source port       32 u32 flags
//	20 u32 destination port  36 u32 buffer space, u32 bytes taken out of it
type header struct {
	srcCID, dstCID            uint64
	srcPort, dstPort, length  uint32
	kind, op                  uint16
	flags, bufAlloc, fwdCount uint32
}

const headerSize = 44

// maxPacket is the most data in a packet to the guest: Linux takes 64 KiB.
const maxPacket = 64 << 10

const kindStream = 1

// Operations.
const (
	opRequest       = 1
	opResponse      = 2
	opReset         = 3
	opShutdown      = 4
	opData          = 5
	opCreditUpdate  = 6
	opCreditRequest = 7
)

// Flags of opShutdown: who sends it will not receive, will not send any more.
const (
	shutReceive = 1
	shutSend    = 2
	shutBoth    = shutReceive | shutSend
)

func (h *header) decode(b *[headerSize]byte) {
	le := binary.LittleEndian
	h.srcCID, h.dstCID = le.Uint64(b[0:]), le.Uint64(b[8:])
	h.srcPort, h.dstPort, h.length = le.Uint32(b[16:]), le.Uint32(b[20:]), le.Uint32(b[24:])
	h.kind, h.op = le.Uint16(b[28:]), le.Uint16(b[30:])
	h.flags, h.bufAlloc, h.fwdCount = le.Uint32(b[32:]), le.Uint32(b[36:]), le.Uint32(b[40:])
}

func (h *header) encode(b *[headerSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], h.srcCID)
	le.PutUint64(b[8:], h.dstCID)
	le.PutUint32(b[16:], h.srcPort)
	le.PutUint32(b[20:], h.dstPort)
	le.PutUint32(b[24:], h.length)
	le.PutUint16(b[28:], h.kind)
	le.PutUint16(b[30:], h.op)
	le.PutUint32(b[32:], h.flags)
	le.PutUint32(b[36:], h.bufAlloc)
	le.PutUint32(b[40:], h.fwdCount)
}
