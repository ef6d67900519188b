package bus

// Line is an interrupt line as a device sees it: a level that it drives. It may end
// at a pin of the I/O APIC, an eventfd or a fake in a test.
//
// Set is safe for use by several goroutines. An edge-triggered device calls
// Set(true), then Set(false).
type Line interface {
	Set(high bool)
}

// LineFunc makes a Line of a function.
type LineFunc func(high bool)

// Set calls f.
func (f LineFunc) Set(high bool) { f(high) }

// MSI is a message-signalled interrupt: a write of Data to Addr in the local
// APICs' window (Intel SDM volume 3, section 11.11; AMD APM volume 2, 16.11).
type MSI struct {
	Addr uint64
	Data uint32
}

// MSISink delivers message-signalled interrupts to the processors' local APICs.
type MSISink interface {
	SendMSI(MSI) error
}
