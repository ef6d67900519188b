package machinetest

import "encoding/binary"

// Buffer is one descriptor of a BusyQueue's chain.
type Buffer struct {
	Data   []byte // what the device reads, or what is there before it writes
	Device bool   // the device writes it
}

// BusyQueue is a virtqueue that a busy guest keeps full.
type BusyQueue struct {
	Device, Queue int        // the number of the virtio-mmio device, and of its queue
	Chains        [][]Buffer // made available in turns; none: the queue is set up and stays empty
}

// Busy is a kernel that brings virtio-mmio devices to life, writes "RS" to COM1 and
// then for ever keeps requests in their queues and counts its rounds. It takes no
// interrupt, and it does not negotiate any feature but VIRTIO_F_VERSION_1.
type Busy struct {
	Kernel []byte
	// Guest-physical addresses: of 32 bits that count rounds, and of 16 bits of each
	// queue, its used index.
	Rounds uint64
	Used   []uint64
}

// Parts of a busy guest's text, in pages: the code, the tables of stores, and then for
// each queue descriptors, available ring, used ring and data.
const (
	busyPage       = 4096
	busyTables     = 1
	busyQueues     = 2
	busyQueuePages = 16
	busyData       = 3 // from here on in a queue's pages
	busySize       = 16
	busyRounds     = busyPage - 8
)

// NewBusy makes the guest. Queues of the same device follow each other. All Data of a
// queue fits into 48 KiB.
func NewBusy(queues ...BusyQueue) *Busy {
	le := binary.LittleEndian
	text := make([]byte, busyPage*(busyQueues+busyQueuePages*len(queues)))
	b := &Busy{Rounds: TextBase + busyRounds}
	var setup []store
	loop := []byte{}
	for i, q := range queues {
		at := busyPage * (busyQueues + busyQueuePages*i)
		rings := uint32(TextBase + at)
		q.write(text[at:at+busyPage*busyQueuePages], uint64(rings))
		registers := uint32(0x200 * q.Device)
		if i == 0 || queues[i-1].Device != q.Device {
			setup = append(setup, store{registers + regStatus, 3}, store{registers + regFeaturesSelect, 1}, store{registers + regFeatures, 1}, store{registers + regStatus, 0xB})
		}
		setup = append(setup, store{registers + regQueueSelect, uint32(q.Queue)}, store{registers + regQueueSize, busySize},
			store{registers + regDescs, rings}, store{registers + regAvail, rings + busyPage}, store{registers + regUsed, rings + 2*busyPage},
			store{registers + regQueueReady, 1})
		if i == len(queues)-1 || queues[i+1].Device != q.Device {
			setup = append(setup, store{registers + regStatus, 0xF})
		}
		b.Used = append(b.Used, uint64(rings)+2*busyPage+2)
		if len(q.Chains) == 0 {
			continue
		}
		used, avail := rings+2*busyPage+2, rings+busyPage+2
		loop = le.AppendUint32(append(loop, 0x66, 0xA1), used)                // mov ax, [used index]
		loop = append(loop, 0x66, 0x05, busySize, 0)                          // add ax, size
		loop = le.AppendUint32(append(loop, 0x66, 0x3B, 0x05), avail)         // cmp ax, [available index]
		loop = append(loop, 0x74, 16)                                         // je to the next queue
		loop = le.AppendUint32(append(loop, 0x66, 0xA3), avail)               // mov [available index], ax
		loop = le.AppendUint32(append(loop, 0xC7, 0x05), registers+regNotify) // mov dword [notify],
		loop = le.AppendUint32(loop, uint32(q.Queue))                         //   queue
	}
	loop = le.AppendUint32(append(loop, 0xFF, 0x05), uint32(b.Rounds))   // inc dword [rounds]
	loop = le.AppendUint32(append(loop, 0xE9), uint32(-(len(loop) + 5))) // jmp to the loop's begin
	code := append(storing(text, busyTables*busyPage, setup, 'R'), storing(nil, 0, nil, 'S')...)
	copy(text, append(code, loop...))
	b.Kernel = Kernel(text)
	return b
}

// write writes rings and data to the queue's pages, which lie at addr.
func (q *BusyQueue) write(pages []byte, addr uint64) {
	le := binary.LittleEndian
	desc, data := 0, busyData*busyPage
	var heads []int
	for _, chain := range q.Chains {
		heads = append(heads, desc)
		for i, b := range chain {
			d := pages[16*desc:]
			le.PutUint64(d, addr+uint64(data))
			le.PutUint32(d[8:], uint32(len(b.Data)))
			flags := uint16(0)
			if b.Device {
				flags |= 2
			}
			if i < len(chain)-1 {
				flags |= 1
			}
			le.PutUint16(d[12:], flags)
			desc++
			le.PutUint16(d[14:], uint16(desc))
			data += copy(pages[data:], b.Data)
		}
	}
	avail := pages[busyPage:]
	le.PutUint16(avail, 1) // no interrupts
	for i := range busySize {
		if len(heads) > 0 {
			le.PutUint16(avail[4+2*i:], uint16(heads[i%len(heads)]))
		}
	}
}
