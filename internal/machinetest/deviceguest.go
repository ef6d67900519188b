package machinetest

import "encoding/binary"

// Where a deviceGuest's parts lie in its text, a page each at least.
const (
	guestDescs  = 0x1000 // descriptors, 16 bytes each
	guestAvail  = 0x2000
	guestUsed   = 0x3000
	guestData   = 0x4000
	guestTables = 0x5000
	guestSize   = 0x6000
)

// firstDevice is the guest-physical address of the first virtio-mmio device:
// layout.MMIOAddr, whose package's own tests use this one.
const firstDevice = 0xFEB0_0000

// Registers of the first virtio-mmio device.
const (
	regFeatures       = firstDevice + 0x20
	regFeaturesSelect = firstDevice + 0x24
	regQueueSelect    = firstDevice + 0x30
	regQueueSize      = firstDevice + 0x38
	regQueueReady     = firstDevice + 0x44
	regNotify         = firstDevice + 0x50
	regStatus         = firstDevice + 0x70
	regDescs          = firstDevice + 0x80
	regAvail          = firstDevice + 0x90
	regUsed           = firstDevice + 0xA0
)

type store struct{ addr, value uint32 }

// storing is code that does stores, of which it puts a table into the text at an offset,
// and then writes a character to COM1.
func storing(text []byte, at int, list []store, say byte) (code []byte) {
	le := binary.LittleEndian
	if len(list) > 0 {
		code = le.AppendUint32(append(code, 0xBE), uint32(TextBase+at)) // mov esi, table
		code = le.AppendUint32(append(code, 0xB9), uint32(len(list)))   // mov ecx, its length
		code = append(code, 0x8B, 0x3E, 0x8B, 0x46, 0x04, 0x89, 0x07,   // again: mov edi, [esi]; mov eax, [esi+4]; mov [edi], eax
			0x83, 0xC6, 0x08, 0x49, 0x75, 0xF3) // add esi, 8; dec ecx; jnz again
	}
	for _, s := range list {
		le.PutUint32(text[at:], s.addr)
		le.PutUint32(text[at+4:], s.value)
		at += 8
	}
	return append(code, 0x66, 0xBA, 0xF8, 0x03, 0xB0, say, 0xEE) // mov dx, 0x3f8; mov al, say; out dx, al
}

// deviceGuest is a kernel that does some stores, writes "R" to COM1, does others,
// writes "S" and goes on with tail.
func deviceGuest(first, then []store, tail ...byte) []byte {
	text := make([]byte, guestSize)
	code := append(storing(text, guestTables, first, 'R'), storing(text, guestTables+8*len(first), then, 'S')...)
	copy(text, append(code, tail...))
	return Kernel(text)
}

// Ends of a deviceGuest.
var (
	spin  = []byte{0xF3, 0x90, 0xEB, 0xFC}             // again: pause; jmp again
	reset = []byte{0xB0, 0xFE, 0xE6, 0x64, 0xEB, 0xFE} // mov al, 0xfe; out 0x64, al; jmp here
)

// driverOK brings a device without queues to life.
var driverOK = []store{{regStatus, 3}, {regFeaturesSelect, 1}, {regFeatures, 1}, {regStatus, 0xB}, {regStatus, 0xF}}

// Echoer is a kernel that brings a device without queues to life, writes "RS" to COM1
// and then what it reads there.
func Echoer() []byte {
	return deviceGuest(driverOK, nil,
		0x66, 0xBA, 0xFD, 0x03, // again: mov dx, 0x3fd
		0xEC,       // wait: in al, dx
		0xA8, 0x01, // test al, 1
		0x74, 0xFB, // jz wait
		0x66, 0xBA, 0xF8, 0x03, // mov dx, 0x3f8
		0xEC, 0xEE, // in al, dx; out dx, al
		0xEB, 0xEF) // jmp again
}

// Zeroer is a kernel that fills the first disk's ring with write-zeroes requests for
// so many sectors from the first on, and then does what end says.
func Zeroer(sectors uint32, end string) []byte {
	const queue = 256
	first := []store{{regStatus, 3}, {regFeatures, 1 << 14}, {regFeaturesSelect, 1}, {regFeatures, 1}, {regStatus, 0xB},
		{regQueueSize, queue}, {regDescs, TextBase + guestDescs}, {regAvail, TextBase + guestAvail}, {regUsed, TextBase + guestUsed},
		{regQueueReady, 1}, {regStatus, 0xF}, {regNotify, 0}}
	var then []store
	tail := spin
	switch end {
	case "reset the device":
		then = []store{{regStatus, 0}}
	case "reset the machine":
		tail = reset
	}
	k := deviceGuest(first, then, tail...)
	le := binary.LittleEndian
	text := k[4096:]
	for i, d := range [][3]uint32{{0, 16, 1}, {16, 16, 1}, {32, 1, 2}} { // offset in the data, length, flags: next, write
		p := text[guestDescs+16*i:]
		le.PutUint64(p, uint64(TextBase+guestData+d[0]))
		le.PutUint32(p[8:], d[1])
		le.PutUint16(p[12:], uint16(d[2]))
		le.PutUint16(p[14:], uint16(i+1))
	}
	le.PutUint16(text[guestAvail+2:], queue) // each entry is the chain that begins with descriptor 0
	le.PutUint32(text[guestData:], 13)       // VIRTIO_BLK_T_WRITE_ZEROES
	le.PutUint32(text[guestData+24:], sectors)
	return k
}

// Resetter is a kernel that brings a device without queues to life and then does
// what end says.
func Resetter(end string) []byte {
	if end == "reset the machine" {
		return deviceGuest(driverOK, nil, reset...)
	}
	return deviceGuest(driverOK, []store{{regStatus, 0}}, spin...)
}
